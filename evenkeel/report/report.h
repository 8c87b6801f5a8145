// The report of a sweep, or of probes: one HTML file with everything inside (data, script, style), so that it
// opens anywhere, offline, and can be mailed. It fetches nothing and its content policy forbids fetching.
#pragma once

#include <filesystem>
#include <string>

#include "evenkeel/analysis/points.h"
#include "evenkeel/base/json.h"

namespace evenkeel::report {

namespace fs = std::filesystem;

/// Everything the page shows: analysis, cells with their series (thinned, see signals.h), configuration,
/// constants, and what probes said (probe_answers.h). Equal runs give equal documents but for step times.
/// Of many cells some have series, and a note says which. Several folders count as one sweep
/// (analysis/load.h). Throws InputError when there is no run at or below a folder.
Json report_document(const std::vector<fs::path>& folders, const analysis::Options& options = {},
                     Json probes = Json::array());

/// Of probes alone.
Json probes_document(Json probes);

/// The page around a document. Whatever the data holds, it stays data: it cannot end its element or run.
std::string report_page(const Json& document);

/// Throws InputError when `html` is a file with content that is no report of evenkeel: it is not replaced.
void refuse_foreign(const fs::path& html);

/// Writes the page around a document, atomically. Throws as refuse_foreign().
void write_report(const Json& document, const fs::path& html);

}  // namespace evenkeel::report
