#include "evenkeel/tokenize/pair_corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/lines.h"

namespace evenkeel::tokenize {
namespace {

struct Text {
  std::vector<std::string> source, target;
};

Text read_pairs(const PairCorpusOptions::Files& files, const char* tag) {
  Text text{read_lines(files[0], tag), read_lines(files[1], tag)};
  if (text.source.size() != text.target.size()) {
    throw InputError(fmt::format(
        "[{}] {} has {} lines and {} has {}; line i of one must be the translation of line i of the other",
        tag, files[0], text.source.size(), files[1], text.target.size()));
  }
  if (text.source.empty()) {
    throw InputError(fmt::format("[{}] {}: the file is empty; give a file with text in it", tag, files[0]));
  }
  return text;
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t") == std::string::npos;
}

void drop_blank(Text& text, const std::string& file) {
  Text kept;
  for (std::size_t i = 0; i < text.source.size(); ++i) {
    if (is_blank(text.source[i]) || is_blank(text.target[i])) continue;
    kept.source.push_back(std::move(text.source[i]));
    kept.target.push_back(std::move(text.target[i]));
  }
  if (kept.source.size() < 2) {
    throw InputError(
        fmt::format("[IN] {}: {} pairs with text on both sides; give at least 2", file, kept.source.size()));
  }
  text = std::move(kept);
}

Text cut_last(Text& text, double fraction) {
  const auto all = static_cast<double>(text.source.size());
  const auto last = static_cast<std::ptrdiff_t>(std::clamp(std::ceil(all * fraction), 1.0, all - 1));
  const auto take = [&](std::vector<std::string>& side) {
    const std::vector<std::string> end(side.end() - last, side.end());
    side.resize(side.size() - static_cast<std::size_t>(last));
    return end;
  };
  return {take(text.source), take(text.target)};
}

Tokenizer make_tokenizer(const PairCorpusOptions& options, const Text& train) {
  if (options.model) {
    Tokenizer tokenizer = Tokenizer::load(*options.model);
    if (tokenizer.has_pair_ids()) return tokenizer;
    throw InputError(
        fmt::format("[--model] {}: for pairs a model must have bos, padding, end and unknown as its ids 0, "
                    "1, 2 and 3; leave "
                    "--model out, or take a model that `evenkeel data tokenize --pairs` made",
                    options.model->string()));
  }
  std::vector<std::string> both = train.source;
  both.insert(both.end(), train.target.begin(), train.target.end());
  TrainOptions train_options = options.train_options;
  train_options.pair_ids = true;
  return Tokenizer::train(both, train_options);
}

}  // namespace

data::PairsFile tokenize_pairs(const PairCorpusOptions& options) {
  std::error_code error;
  if (!options.replace && std::filesystem::exists(options.out / "pairs.json", error)) {
    throw InputError(
        fmt::format("[--out] {} already holds sentence pairs; choose another folder, or give --replace",
                    options.out.string()));
  }
  for (const std::string& name :
       {data::pairs_bin_name("train", "source"), data::pairs_bin_name("train", "target"),
        data::pairs_bin_name("valid", "source"), data::pairs_bin_name("valid", "target"),
        std::string("tokenizer.model")}) {
    if (options.replace || !std::filesystem::exists(options.out / name, error)) continue;
    throw InputError(
        fmt::format("[--out] {} is there without a pairs.json, so it may be somebody else's; choose another "
                    "folder, or give --replace",
                    (options.out / name).string()));
  }
  Text train = read_pairs(options.train, "IN");
  drop_blank(train, options.train[0]);
  const Text valid =
      options.valid ? read_pairs(*options.valid, "--valid") : cut_last(train, options.valid_fraction);
  const Tokenizer tokenizer = make_tokenizer(options, train);

  data::PairsFile info;
  info.vocab = tokenizer.vocab();
  info.width = info.vocab <= 65536 ? 2 : 4;
  info.pieces = tokenizer.pieces();
  info.model_hash = content_hash(tokenizer.model());
  make_folder(options.out);
  // Until the new one is whole there are no pairs.
  std::filesystem::remove(options.out / "pairs.json", error);
  const auto write_side = [&](const char* part, const char* side, const std::vector<std::string>& lines) {
    std::vector<std::int32_t> ids;
    data::PairsFile::Side written;
    for (const std::string& line : lines) {
      const std::vector<std::int32_t> encoded = tokenizer.encode(line);
      ids.insert(ids.end(), encoded.begin(), encoded.end());
      ids.push_back(static_cast<std::int32_t>(tokenizer.end_id()));
      written.text_bytes += static_cast<std::int64_t>(line.size());
    }
    const std::string bytes = data::pack_ids(ids, info.width);
    written.tokens = std::ssize(ids);
    written.hash = content_hash(bytes);
    write_file(options.out / data::pairs_bin_name(part, side), bytes);
    return written;
  };
  const auto write_part = [&](const char* name, const Text& text) {
    return data::PairsFile::Part{std::ssize(text.source), write_side(name, "source", text.source),
                                 write_side(name, "target", text.target)};
  };
  info.train = write_part("train", train);
  info.valid = write_part("valid", valid);
  if (options.test) info.test = write_part("test", read_pairs(*options.test, "--test"));
  write_file(options.out / "tokenizer.model", tokenizer.model());
  data::write_pairs_file(options.out, info);
  return info;
}

}  // namespace evenkeel::tokenize
