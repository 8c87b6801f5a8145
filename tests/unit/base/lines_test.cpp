#include "evenkeel/base/lines.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"

namespace evenkeel {
namespace {

class Lines : public testing::Test {
 protected:
  fs::path file(const std::string& name, const std::string& content) const {
    write_file(folder_ / name, content);
    return folder_ / name;
  }
  test::TempFolder folder_;
};

TEST_F(Lines, OfPlainAndCompressedFilesAreTheSame) {
  const std::string text = "one\r\n\ntwo \xc3\xa9\nlast";
  const std::vector<std::string> expected{"one", "", "two \xc3\xa9", "last"};
  EXPECT_EQ(read_lines(file("plain", text), "IN"), expected);
  const gzFile out = gzopen((folder_ / "packed").c_str(), "wb");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  EXPECT_EQ(read_lines(folder_ / "packed", "IN"), expected);
  EXPECT_TRUE(read_lines(file("empty", ""), "IN").empty());
}

TEST_F(Lines, WrongFilesAreNamed) {
  const auto sentence = [](const fs::path& path) -> std::string {
    try {
      read_lines(path, "IN");
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(sentence(folder_ / "none").find("no such file"), std::string::npos);
  EXPECT_NE(sentence(file("latin", "good\nba\xe9 d")).find("latin:2, byte 2"), std::string::npos);
  const gzFile out = gzopen((folder_ / "packed").c_str(), "wb");
  const std::string text(100000, 'x');
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  const std::string packed = read_file(folder_ / "packed");
  EXPECT_NE(sentence(file("torn", packed.substr(0, packed.size() / 2))).find("damaged or cut off"),
            std::string::npos);
}

}  // namespace
}  // namespace evenkeel
