#include "evenkeel/base/files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <functional>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "tests/support/temp_folder.h"

namespace evenkeel {
namespace {

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const EnvironmentError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Files, WriteReplacesWholeAndLeavesNothingBeside) {
  const test::TempFolder folder;
  write_file(folder / "a", "old");
  write_file(folder / "a", std::string("n\0w", 3));
  EXPECT_EQ(read_file(folder / "a"), std::string("n\0w", 3));
  EXPECT_FALSE(fs::exists(folder / "a.part"));
  const std::array<std::string_view, 3> parts{"x", "", "yz"};
  write_file(folder / "b", std::span<const std::string_view>(parts));
  EXPECT_EQ(read_file(folder / "b"), "xyz");
}

TEST(Files, FailedWriteLeavesTheOldContent) {
  const test::TempFolder folder;
  write_file(folder / "a", "old");
  // A limit on file size stands in for a full disk; in a child, because it cannot be raised again.
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const bool failed = error_of([&] { write_file(folder / "a", std::string(5000, 'x')); }) != "no error";
    ::_exit(failed ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_FALSE(fs::exists(folder / "a.part"));
}

TEST(Files, ASecondWriterNeverTouchesWhatTheFirstIsWriting) {
  const test::TempFolder folder;
  const fs::path part = folder / "a.part";
  {
    const FileLock first(part, "a writer is at work");  // as write_file holds it
    std::ofstream(part) << "half of it";
    write_file(folder / "a", "whole");
    EXPECT_EQ(read_file(folder / "a"), "whole");
    EXPECT_EQ(read_file(part), "half of it");
  }
  // The first was killed: what it left is used up.
  write_file(folder / "a", "again");
  EXPECT_EQ(read_file(folder / "a"), "again");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(Files, ErrorsSayWhichFileWhyAndWhatToDo) {
  const test::TempFolder folder;
  const std::string absent = error_of([&] { read_file(folder / "absent"); });
  EXPECT_NE(absent.find("cannot read " + (folder / "absent").string() + ": No such file"), std::string::npos)
      << absent;
  EXPECT_NE(absent.find("check the spelling"), std::string::npos);
  const std::string is_folder = error_of([&] { read_file(folder.path()); });
  EXPECT_NE(is_folder.find("this is a folder; give a file"), std::string::npos) << is_folder;
  write_file(folder / "file", "");
  const std::string in_way = error_of([&] { make_folder(folder / "file" / "x"); });
  EXPECT_NE(in_way.find("a file of that name is in the way"), std::string::npos) << in_way;
  const std::string full = explain_errno("write", "x", ENOSPC);
  EXPECT_NE(full.find("free some space"), std::string::npos);
  EXPECT_NE(explain_errno("write", "x", EROFS).find("--out"), std::string::npos);
}

TEST(Files, FullDeviceIsAnEnvironmentError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  const std::string message = error_of([] {
    AppendFile file("/dev/full", 0);
    file.write_line("x");
  });
  EXPECT_NE(message.find("cannot write /dev/full: No space left"), std::string::npos) << message;
}

TEST(AppendFile, CutsThenAppends) {
  const test::TempFolder folder;
  write_file(folder / "log", "one\ntwo\nthr");
  {
    AppendFile log(folder / "log", 8);
    log.write_line("three");
    log.sync();
  }
  EXPECT_EQ(read_file(folder / "log"), "one\ntwo\nthree\n");
  { AppendFile log(folder / "log", 0); }
  EXPECT_EQ(read_file(folder / "log"), "");
}

TEST(AppendFile, RefusesToGrowAFileWithZeros) {
  const test::TempFolder folder;
  write_file(folder / "log", "one\n");
  EXPECT_THROW(AppendFile(folder / "log", 100), EnvironmentError);
  EXPECT_EQ(read_file(folder / "log"), "one\n");
}

TEST(FileLock, SecondHolderIsRefusedWithTheSentence) {
  const test::TempFolder folder;
  const FileLock first(folder / "lock", "somebody works here");
  const std::string message = error_of([&] { FileLock(folder / "lock", "somebody works here"); });
  EXPECT_NE(message.find("somebody works here (lock "), std::string::npos) << message;
}

TEST(Hash, KnownAnswers) {
  EXPECT_EQ(hex32(crc32c("123456789")), "e3069283");            // RFC 3720, check value
  EXPECT_EQ(hex32(crc32c(std::string(32, '\0'))), "8a9136aa");  // RFC 3720 B.4
  EXPECT_EQ(hex32(crc32c("")), "00000000");
  EXPECT_EQ(content_hash(""), "99aa06d3014798d86001c324468d497f");  // XXH3_128bits of nothing, seed 0
}

TEST(Hash, FileAndTextAgreeAlsoOverManyBlocks) {
  const test::TempFolder folder;
  std::string big(3'000'001, 'a');
  big[2'000'000] = 'b';
  for (const std::string& text : {std::string(), std::string("abc"), big}) {
    write_file(folder / "f", text);
    EXPECT_EQ(file_hash(folder / "f"), content_hash(text));
  }
  EXPECT_THROW(file_hash(folder / "absent"), EnvironmentError);
}

}  // namespace
}  // namespace evenkeel
