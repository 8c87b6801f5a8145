// Rows of a table: out_n = scale * W[id_n], and the gradient dW_v = scale * sum over n with id_n = v of
// dout_n.
//
// fp32. The backward pass sorts the tokens by id (stable), so every row of dW is written once, by one thread,
// and summed in the order of the tokens: no zero-filling beforehand, the same bits for any number of threads.
#pragma once

#include <cstdint>

namespace evenkeel::kernels {

struct EmbeddingShape {
  std::int64_t tokens = 0, vocab = 0, width = 0;
};

/// weight [vocab, width], ids [tokens] in [0, vocab) -> out [tokens, width].
void embedding_forward(const float* weight, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
                       float* out);
/// d_out [tokens, width] -> d_weight [vocab, width], every value written.
void embedding_backward(const float* d_out, const std::int64_t* ids, const EmbeddingShape& shape, float scale,
                        float* d_weight);

}  // namespace evenkeel::kernels
