// The pages of docs/reference: every treatment, residual scheme, optimiser, field and metric, as Markdown.
// They are made of what the program itself goes by (the fields of spec/, the metric table) and of the tables
// beside this file, so they cannot say anything else than the program does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evenkeel/config/bind.h"

namespace evenkeel::reference {

struct Page {
  std::string file;  ///< "treatments.md"
  std::string text;
};

/// Every field that a study may set, [study] included.
std::vector<FieldDoc> all_fields();

/// All pages, that which lists the others first. Throws std::logic_error when a row of the tables names a
/// field or metric that is none.
std::vector<Page> pages();

/// Writes the pages into `folder` and returns their paths. Throws InputError, having written nothing, when a
/// file there has the name of a page and is none: it is not replaced.
std::vector<std::filesystem::path> write_pages(const std::filesystem::path& folder);

}  // namespace evenkeel::reference
