// Subword tokenisation with SentencePiece (Kudo & Richardson 2018, arXiv 1808.06226): BPE or unigram pieces
// over UTF-8 text, bytes as fall-back, so every text can be encoded and decoded without loss (but U+2581,
// which stands for the space, comes back as a space). No normalisation. The trainer never links this: it
// reads ids (data/text/tokens_file.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/data/text/tokens_file.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace evenkeel::tokenize {

enum class ModelType { kBpe, kUnigram };

struct TrainOptions {
  std::int64_t vocab = 1024;
  ModelType type = ModelType::kBpe;
  /// Bos, padding, end and unknown as ids 0 to 3 (PairIds) in place of unknown and end as 0 and 1.
  bool pair_ids = false;
};

class Tokenizer {
 public:
  /// Trains on `documents`; the same documents and options give the same model. Throws InputError when the
  /// text does not support the vocabulary asked for.
  static Tokenizer train(const std::vector<std::string>& documents, const TrainOptions& options);
  /// Reads a SentencePiece model file. Throws InputError when it is none, or has no end-of-sentence piece.
  static Tokenizer load(const std::filesystem::path& file);

  Tokenizer(Tokenizer&&) noexcept;
  ~Tokenizer();

  std::int64_t vocab() const;
  /// The id that ends a document (SentencePiece's end of sentence).
  std::int64_t end_id() const;
  /// Whether it was trained with TrainOptions::pair_ids, or has those ids all the same.
  bool has_pair_ids() const;
  std::vector<std::int32_t> encode(std::string_view text) const;
  std::string decode(const std::vector<std::int32_t>& ids) const;
  /// The text of each id, for data that travel without the model.
  std::vector<data::Piece> pieces() const;
  /// The model file's bytes.
  const std::string& model() const { return model_; }

 private:
  Tokenizer(std::string model, const std::string& name);
  std::string model_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace evenkeel::tokenize
