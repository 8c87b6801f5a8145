// The committed corpus of every fuzz target, with what was once found by it.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "evenkeel/base/files.h"
#include "tests/fuzz/targets.h"

namespace evenkeel::fuzz {
namespace {

TEST(Fuzz, CorpusIsReadOrRefusedCleanly) {
  const std::filesystem::path corpus = std::filesystem::path(EVENKEEL_SOURCE_DIR) / "tests/fuzz/corpus";
  std::set<std::string> folders;
  for (const auto& item : std::filesystem::directory_iterator(corpus))
    folders.insert(item.path().filename().string());
  for (const Target& target : targets()) {
    EXPECT_EQ(folders.erase(target.name), 1u) << target.name << " has no corpus";
    for (const auto& item : std::filesystem::directory_iterator(corpus / target.name))
      EXPECT_NO_THROW(target.run(read_file(item.path()))) << item.path();
    EXPECT_NO_THROW(target.run("")) << target.name;
  }
  for (const std::string& name : folders) ADD_FAILURE() << "no target reads " << name;
}

}  // namespace
}  // namespace evenkeel::fuzz
