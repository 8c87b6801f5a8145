#include "tests/fuzz/targets.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/json.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/config/settings.h"
#include "evenkeel/data/pairs/pairs_file.h"
#include "evenkeel/data/text/formats.h"
#include "evenkeel/data/text/tokens_file.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/csv.h"
#include "evenkeel/runs/import.h"
#include "evenkeel/runs/json_fields.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/spec/sweep.h"
#include "evenkeel/sweep/sweep_file.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::fuzz {
namespace {

template <class Read>
void expect_clean(Read read) {
  try {
    read();
  } catch (const InputError&) {
  } catch (const EnvironmentError&) {
  }
}

/// A file in memory, for readers that take paths.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("no memfd");
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0) throw std::runtime_error("memfd cannot be written");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

void study(std::string_view bytes) {
  expect_clean([&] {
    const SweepSpec spec = sweep_from(settings_from_toml_text(bytes, "fuzz.toml", {"sweep"}), {});
    Settings settings = spec.base;
    for (const Axis& axis : spec.axes)
      for (const auto& [path, value] : axis.points.front().settings) settings[path] = {value, axis.origin};
    to_json(experiment_from(settings)).dump(-1, ' ', false, Json::error_handler_t::replace);
  });
}

void assignment(std::string_view bytes) {
  expect_clean([&] {
    const auto [path, setting] = parse_assignment(bytes);
    sweep_from({}, Settings{{path, setting}});
  });
}

void csv(std::string_view bytes) {
  expect_clean([&] {
    // Columns that have the name of a field are mapped.
    const runs::CsvTable table = runs::parse_csv(bytes, "fuzz.csv");
    runs::ImportMap map{{"loss", "loss"}};
    for (const char* field :
         {"run", "step", "train_loss", "lr", "params", "size", "seed", "arm", "l0", "h1"}) {
      if (std::find(table.header.begin(), table.header.end(), field) != table.header.end())
        map[field] = field;
    }
    runs::check_csv(bytes, "fuzz.csv", map);
  });
}

// A line with the checksum that it should have: mutations would hit upon none.
std::string signed_line(std::string_view body) {
  std::string line(body);
  if (line.empty() || line.back() != '}') return line;
  const std::string crc = hex32(crc32c(line));
  line.back() = ',';
  return line + "\"crc\":\"" + crc + "\"}";
}

void records(std::string_view bytes) {
  expect_clean([&] {
    std::vector<Json> records;
    std::istringstream in{std::string(bytes)};
    for (std::string line; std::getline(in, line);) {
      for (const std::string& text : {line, signed_line(line)})
        if (auto record = runs::decode_record(text)) records.push_back(std::move(*record));
    }
    for (const char* key : {"loss/train/ce", "grad/norm"}) runs::scalar_series(records, key);
    runs::head_series(records, "attn/layer00/logit_max");
    for (const Json& record : records) json_text(record);
  });
}

void json(std::string_view bytes) {
  expect_clean([&] {
    const Json document = parse_json(bytes, "fuzz.json");
    json_text(document);
    settings_from_json(document, "fuzz.json");
  });
}

void jsonl(std::string_view bytes) {
  expect_clean([&] {
    std::istringstream in{std::string(bytes)};
    data::for_each_json_line(in, "fuzz.jsonl", "data.path", "text", [](const std::string&) {});
  });
}

void safetensors(std::string_view bytes) {
  expect_clean([&] {
    const runs::Safetensors file = runs::parse_safetensors(std::string(bytes), "fuzz.safetensors");
    for (const auto& [name, tensor] : file.tensors) {
      std::size_t sum = 0;  // reads every byte, so that a view outside the file is seen
      for (const char c : tensor.data) sum += static_cast<unsigned char>(c);
      if (tensor.name != name || sum > 255 * tensor.data.size())
        throw std::logic_error("a tensor is not itself");
    }
  });
}

void shard(std::string_view bytes) {
  const MemoryFile file(bytes);
  DataSpec spec;
  spec.path = file.path();
  spec.valid_tokens = 64;
  for (const auto open : {data::open_llmc, data::open_nanogpt})
    expect_clean([&] { data::make_text_source(open(spec), spec, 4)->facts(); });
}

void tokens_file(std::string_view bytes) {
  expect_clean([&] { data::tokens_from_json(parse_json(bytes, "tokens.json"), "tokens.json"); });
  expect_clean([&] { data::pairs_from_json(parse_json(bytes, "pairs.json"), "pairs.json"); });
}

/// A document whose checksum a mutation broke, with the one that it should have.
std::string resealed(std::string_view bytes, const char* apart = "") {
  Json document = Json::parse(bytes, nullptr, false);
  if (!document.is_object() || !document.contains("checksum")) return std::string(bytes);
  try {
    if (document.contains(apart) && document.at(apart).is_object()) runs::seal(document.at(apart));
    runs::seal(document, apart);
    return document.dump();
  } catch (const std::exception&) {  // what JSON text cannot hold
    return std::string(bytes);
  }
}

/// Without the flush to disk that write_file makes, which would take nearly all of the time.
void put(const fs::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

void sweep_file(std::string_view bytes) {
  static const test::TempFolder folder;
  put(folder / "sweep.json", resealed(bytes));
  expect_clean([&] { sweep::read_sweep_file(folder.path()); });
  expect_clean([&] { analysis::analysis_json(analysis::analyze(analysis::load_sweep(folder.path()), {})); });
}

void run(std::string_view bytes, const char* name, std::string_view other, const char* other_name) {
  static const test::TempFolder folder;
  put(folder / name, bytes);
  put(folder / other_name, other);
  expect_clean([&] { runs::arms_of({runs::load_cell(folder.path())}); });
}

constexpr const char* kResult =
    R"({"digest": null, "final_loss": 3.5, "l0": 5, "label": "finished", "relapsed": false,
  "seen_tokens": 10, "steps": 3, "train_loss": 3.5})";
constexpr const char* kManifest = R"({"arm": "a", "config_hash": "0123456789abcdef",
  "data": {"bigram_entropy": null, "floor": null, "h1": 4, "name": "imported", "train_tokens": -1},
  "environment": {}, "imported": {"arm": "a", "lr": 0.1, "params": -1, "seed": 0, "size": "s", "source": "t.csv:2"},
  "versions": {"evenkeel": "0", "format": 1}})";

void manifest(std::string_view bytes) {
  run(resealed(bytes, "environment"), "manifest.json", kResult, "result.json");
}

void result(std::string_view bytes) {
  run(resealed(bytes), "result.json", kManifest, "manifest.json");
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> all{{"study", study},
                                       {"assignment", assignment},
                                       {"csv", csv},
                                       {"records", records},
                                       {"json", json},
                                       {"jsonl", jsonl},
                                       {"safetensors", safetensors},
                                       {"shard", shard},
                                       {"tokens_file", tokens_file},
                                       {"sweep_file", sweep_file},
                                       {"manifest", manifest},
                                       {"result", result}};
  return all;
}

}  // namespace evenkeel::fuzz
