#include "evenkeel/tokenize/tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <unordered_map>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/spec/data.h"

namespace evenkeel::tokenize {
namespace {

namespace sp = sentencepiece;

// SentencePiece trains on lines: words do not span them, and it drops very long ones.
std::vector<std::string> training_lines(const std::vector<std::string>& documents) {
  constexpr std::size_t kLongest = 4000;
  std::vector<std::string> lines;
  for (const std::string& text : documents) {
    for (std::size_t begin = 0; begin < text.size();) {
      std::size_t end = std::min(text.find('\n', begin), text.size());
      if (end - begin > kLongest) {
        end = begin + kLongest;
        while (end > begin + 1 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
        lines.push_back(text.substr(begin, end - begin));
        begin = end;
      } else {
        if (end > begin) lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
    }
  }
  return lines;
}

class Lines : public sp::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ >= lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sp::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t next_ = 0;
};

// The number that follows `words` in `message`; "" when there is none.
std::string number_after(const std::string& message, const std::string& words) {
  const std::size_t at = message.rfind(words);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + words.size();
  const std::size_t end = std::min(message.find_first_not_of("0123456789", begin), message.size());
  return message.substr(begin, end - begin);
}

// SentencePiece names the largest vocabulary that it could fill as "<= N.", and the smallest that holds every
// frequent letter as "GIVEN vs N.".
std::string advice_from(const std::string& message) {
  if (const std::string most = number_after(message, "<= "); !most.empty())
    return "give at most --vocab " + most + ", or more text";
  if (const std::string least = number_after(message, " vs "); !least.empty())
    return "give at least --vocab " + least;
  return "SentencePiece says: " + message;
}

}  // namespace

Tokenizer::Tokenizer(std::string model, const std::string& name)
    : model_(std::move(model)), processor_(std::make_unique<sp::SentencePieceProcessor>()) {
  if (!processor_->LoadFromSerializedProto(model_).ok()) {
    throw InputError(
        fmt::format("[--model] {}: no SentencePiece model; give a .model file made by spm_train or by "
                    "`evenkeel data tokenize`",
                    name));
  }
  if (processor_->eos_id() < 0) {
    throw InputError(fmt::format(
        "[--model] {}: the model has no end-of-sentence piece, which must end documents; train it "
        "with one, or leave --model out",
        name));
  }
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::train(const std::vector<std::string>& documents, const TrainOptions& options) {
  const std::vector<std::string> lines = training_lines(documents);
  if (lines.empty())
    throw InputError("[--vocab] there is no text to train a tokeniser on; give files with text in them");
  // One thread and no sampling: the same text gives the same model. The newline is a piece of its own.
  const std::unordered_map<std::string, std::string> arguments = {
      {"vocab_size", std::to_string(options.vocab)},
      {"model_type", options.type == ModelType::kBpe ? "bpe" : "unigram"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"byte_fallback", "true"},
      {"user_defined_symbols", "\n"},
      {"unk_id", std::to_string(options.pair_ids ? PairIds::kUnknown : 0)},
      {"eos_id", std::to_string(options.pair_ids ? PairIds::kEnd : 1)},
      {"bos_id", std::to_string(options.pair_ids ? PairIds::kBos : -1)},
      {"pad_id", std::to_string(options.pair_ids ? PairIds::kPad : -1)},
      {"num_threads", "1"},
      {"max_sentence_length", "8192"},
      {"minloglevel", "3"},
  };
  Lines iterator(lines);
  std::string model;
  const auto status = sp::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) {
    throw InputError(fmt::format(
        "[--vocab] {} pieces cannot be made from this text: the 256 bytes and every frequent letter need a "
        "piece each, and a short text has few others; {}",
        options.vocab, advice_from(status.error_message())));
  }
  return Tokenizer(std::move(model), "trained model");
}

Tokenizer Tokenizer::load(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    throw InputError(fmt::format("[--model] {}: no such file; check the spelling", file.string()));
  }
  return Tokenizer(read_file(file), file.string());
}

std::int64_t Tokenizer::vocab() const {
  return processor_->GetPieceSize();
}

std::int64_t Tokenizer::end_id() const {
  return processor_->eos_id();
}

bool Tokenizer::has_pair_ids() const {
  return processor_->bos_id() == PairIds::kBos && processor_->pad_id() == PairIds::kPad &&
         processor_->eos_id() == PairIds::kEnd && processor_->unk_id() == PairIds::kUnknown;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int> ids;
  const auto status = processor_->Encode(absl::string_view(text.data(), text.size()), &ids);
  if (!status.ok()) throw InputError(fmt::format("text cannot be tokenised: {}", status.error_message()));
  return {ids.begin(), ids.end()};
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids) const {
  return data::decode(pieces(), ids);
}

std::vector<data::Piece> Tokenizer::pieces() const {
  std::vector<data::Piece> pieces(static_cast<std::size_t>(vocab()));
  for (int id = 0; id < processor_->GetPieceSize(); ++id) {
    data::Piece& piece = pieces[static_cast<std::size_t>(id)];
    const std::string& text = processor_->IdToPiece(id);
    if (processor_->IsControl(id) || processor_->IsUnknown(id)) continue;
    if (processor_->IsByte(id)) {
      piece = {data::Piece::Kind::kByte,
               std::string(1, static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16)))};
      continue;
    }
    piece.kind = data::Piece::Kind::kText;
    constexpr std::string_view kSpace = "\xe2\x96\x81";
    for (std::size_t at = 0; at < text.size();) {
      const bool space = text.compare(at, kSpace.size(), kSpace) == 0;
      piece.text += space ? ' ' : text[at];
      at += space ? kSpace.size() : 1;
    }
  }
  return pieces;
}

}  // namespace evenkeel::tokenize
