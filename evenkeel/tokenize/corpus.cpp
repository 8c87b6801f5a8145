#include "evenkeel/tokenize/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/utf8.h"
#include "evenkeel/data/text/formats.h"

namespace evenkeel::tokenize {
namespace {

void add_document(std::vector<std::string>& documents, std::string text) {
  if (text.find_first_not_of(" \t\r\n") != std::string::npos) documents.push_back(std::move(text));
}

// A blank line holds nothing but spaces, tabs and a carriage return.
bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void cut_text(const std::string& text, Documents how, std::vector<std::string>& documents) {
  if (how == Documents::kFile) return add_document(documents, text);
  std::string current;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (how == Documents::kLine) {
      add_document(documents, line);
    } else if (is_blank(line)) {
      add_document(documents, std::move(current));
      current.clear();
    } else {
      current += current.empty() ? line : "\n" + line;
    }
  }
  add_document(documents, std::move(current));
}

}  // namespace

std::vector<std::string> read_documents(const CorpusOptions& options) {
  std::vector<std::string> documents;
  for (const std::string& file : options.inputs) {
    if (data::checked_size(file, "IN") == 0) {
      throw InputError(
          fmt::format("[IN] {}: the file is empty (0 bytes); give a file with text in it", file));
    }
    if (std::filesystem::path(file).extension() == ".jsonl") {
      data::for_each_json_line(file, "IN", options.text_field,
                               [&](const std::string& text) { add_document(documents, text); });
      continue;
    }
    const std::string text = read_file(file);
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos) {
      throw InputError(
          fmt::format("[IN] {}, byte {}: not UTF-8 text; convert it (iconv -t utf-8), or train on its bytes "
                      "(data.kind = \"bytes\"), which needs no tokeniser",
                      file, bad));
    }
    cut_text(text, options.documents, documents);
  }
  if (documents.empty()) {
    throw InputError(
        "[IN] there is no text in the files given, only blank lines; give files with text in them");
  }
  return documents;
}

std::size_t split_documents(std::vector<std::string>& documents, double fraction) {
  if (documents.size() == 1) {
    const std::string whole = documents[0];
    const auto target =
        static_cast<std::size_t>(std::floor(static_cast<double>(whole.size()) * (1 - fraction)));
    const std::size_t cut = whole.rfind('\n', target);
    if (cut == std::string::npos || is_blank(whole.substr(0, cut))) {
      throw InputError(
          "[--valid-fraction] the text is one document of one line, so none is left to validate on; give "
          "more text");
    }
    documents = {whole.substr(0, cut), whole.substr(cut + 1)};
    return 1;
  }
  std::size_t total = 0;
  for (const std::string& text : documents) total += text.size();
  const double wanted = static_cast<double>(total) * fraction;
  std::size_t first = documents.size() - 1;
  double held = static_cast<double>(documents[first].size());
  while (first > 1 && held < wanted) held += static_cast<double>(documents[--first].size());
  return first;
}

data::TokensFile tokenize_corpus(const CorpusOptions& options) {
  std::error_code error;
  if (!options.replace && std::filesystem::exists(options.out / "tokens.json", error)) {
    throw InputError(
        fmt::format("[--out] {} already holds token data; choose another folder, or give --replace",
                    options.out.string()));
  }
  for (const char* name : {"train.bin", "valid.bin", "tokenizer.model"}) {
    if (options.replace || !std::filesystem::exists(options.out / name, error)) continue;
    throw InputError(
        fmt::format("[--out] {} is there without a tokens.json, so it may be somebody else's; choose another "
                    "folder, or give --replace",
                    (options.out / name).string()));
  }
  std::vector<std::string> documents = read_documents(options);
  const std::size_t first_valid = split_documents(documents, options.valid_fraction);
  const auto middle = documents.begin() + static_cast<std::ptrdiff_t>(first_valid);
  const std::vector<std::string> train(documents.begin(), middle), valid(middle, documents.end());
  const Tokenizer tokenizer =
      options.model ? Tokenizer::load(*options.model) : Tokenizer::train(train, options.train);

  data::TokensFile info;
  info.vocab = tokenizer.vocab();
  info.end_id = tokenizer.end_id();
  info.width = info.vocab <= 65536 ? 2 : 4;
  info.pieces = tokenizer.pieces();
  make_folder(options.out);
  std::filesystem::remove(options.out / "tokens.json",
                          error);  // until the new one is whole there is no token data
  const auto write_part = [&](const char* name, const std::vector<std::string>& texts,
                              data::TokensFile::Part& part) {
    std::vector<std::int32_t> ids;
    for (const std::string& text : texts) {
      const std::vector<std::int32_t> encoded = tokenizer.encode(text);
      ids.insert(ids.end(), encoded.begin(), encoded.end());
      ids.push_back(static_cast<std::int32_t>(info.end_id));
    }
    const std::string bytes = data::pack_ids(ids, info.width);
    part = {static_cast<std::int64_t>(ids.size()), static_cast<std::int64_t>(texts.size()),
            content_hash(bytes)};
    for (const std::string& text : texts) part.text_bytes += static_cast<std::int64_t>(text.size());
    write_file(options.out / name, bytes);
  };
  write_part("train.bin", train, info.train);
  write_part("valid.bin", valid, info.valid);
  write_file(options.out / "tokenizer.model", tokenizer.model());
  info.model_hash = content_hash(tokenizer.model());
  data::write_tokens_file(options.out, info);
  return info;
}

}  // namespace evenkeel::tokenize
