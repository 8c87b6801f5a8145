// The report of a sweep: one HTML file with everything inside (data, script, style), so that it opens
// anywhere, offline, and can be mailed. It fetches nothing and its content policy forbids fetching.
#pragma once

#include <filesystem>
#include <string>

#include "evenkeel/analysis/points.h"
#include "evenkeel/base/json.h"

namespace evenkeel::report {

namespace fs = std::filesystem;

/// Everything the page shows: analysis, cells with their series (thinned, see signals.h), configuration,
/// constants. Equal runs give equal documents but for step times.
Json report_document(const fs::path& folder, const analysis::Options& options = {});

/// The page around a document. Whatever the data holds, it stays data: it cannot end its element or run.
std::string report_page(const Json& document);

/// Reads the sweep or runs below `folder` and writes the page, atomically. Throws InputError when there is no
/// run.
void write_report(const fs::path& folder, const fs::path& html, const analysis::Options& options = {});

}  // namespace evenkeel::report
