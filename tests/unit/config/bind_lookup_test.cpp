#include <gtest/gtest.h>

#include <functional>

#include "evenkeel/config/bind.h"
#include "evenkeel/spec/data.h"

namespace evenkeel {
namespace {

// std::bind is found by argument-dependent lookup, because Settings is a std::map, and would silently do
// nothing.
TEST(Bind, IsNotMistakenForStdBindWhateverTheSettingsAre) {
  Settings settings;
  settings["synthetic.vocab"] = {128, "test"};
  const Settings constant = settings;
  DataSpec from_variable, from_constant, from_temporary;
  bind(from_variable, settings);
  bind(from_constant, constant);
  bind(from_temporary, Settings(settings));
  EXPECT_EQ(from_variable.synthetic.vocab, 128);
  EXPECT_EQ(from_constant.synthetic.vocab, 128);
  EXPECT_EQ(from_temporary.synthetic.vocab, 128);
}

}  // namespace
}  // namespace evenkeel
