// Writes the fixture sweep into a folder, for tests in other languages: write_fixture FOLDER
// [plain|two_sizes|hostile|pairs|refined|arms].
#include <cstdio>
#include <string>

#include "tests/support/fixture_sweep.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: write_fixture FOLDER [plain|two_sizes|hostile|pairs|refined|arms]\n", stderr);
    return 2;
  }
  const std::string kind = argc > 2 ? argv[2] : "";
  evenkeel::test::FixtureOptions options;
  if (kind == "plain") options.sweep_file = false;
  if (kind == "pairs") options.pairs = true;
  if (kind == "two_sizes") {
    options.sizes = {"d64", "d128"};
    options.seeds = {1, 2, 3};
    options.leave_one_out = true;
  }
  if (kind == "refined" || kind == "arms") {
    options.seeds = {1, 2, 3, 4, 5, 6};
    options.refined = true;
  }
  if (kind == "arms") {
    options.seeds = {1, 2, 3};
    options.more_arms = 7;
  }
  if (kind == "hostile")
    options.title = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>";
  evenkeel::test::FixtureSweep(argv[1], options).write();
}
