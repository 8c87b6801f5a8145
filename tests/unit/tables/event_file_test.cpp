#include "evenkeel/tables/event_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

namespace evenkeel::tables {
namespace {

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

// Bytes by an independent writer, which also makes a record of TensorBoard's own tests.
TEST(EventFile, HasTheKnownBytes) {
  EXPECT_EQ(hex(event_file_header(1700000000)),
            "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d");
  EXPECT_EQ(hex(scalar_event(1700000001.5, 7, "loss", 2.5f)),
            "1a00000000000000129bd82d0900006040fc54d94110072a0d0a0b0a046c6f737315000020408e01b99b");
  EXPECT_EQ(hex(scalar_event(1700000002, 300, "loss", std::numeric_limits<float>::quiet_NaN())),
            "1b000000000000001a0d9e130900008040fc54d94110ac022a0d0a0b0a046c6f7373150000c07f1ce6c6e6");
}

}  // namespace
}  // namespace evenkeel::tables
