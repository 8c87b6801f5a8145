#include "evenkeel/telemetry/metric_table.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>

#include "evenkeel/base/files.h"
#include "evenkeel/telemetry/recorder.h"

namespace evenkeel::telemetry {
namespace {

// Every key of the tables under "## metrics.jsonl" and "## heads.jsonl" in the docs, written as ids; a key
// given short
// (`logit_absmax`) belongs to the site of the key before it.
std::set<std::string> documented(const std::string& docs, const std::string& heading) {
  std::set<std::string> ids;
  const auto begin = docs.find("\n## " + heading), end = docs.find("\n## ", begin + 4);
  std::istringstream section(docs.substr(begin, end - begin));
  for (std::string line; std::getline(section, line);) {
    if (!line.starts_with("| `")) continue;
    const std::string cell = line.substr(1, line.find('|', 1) - 1);
    std::string site;
    for (std::size_t at = cell.find('`'); at != std::string::npos; at = cell.find('`', at + 1)) {
      const std::size_t close = cell.find('`', at + 1);
      std::string key = cell.substr(at + 1, close - at - 1);
      at = close;
      const auto slash = key.rfind('/');
      if (slash != std::string::npos) site = key.substr(0, slash + 1);
      else if (!site.empty()) key = site + key;
      for (const auto& [written, id] :
           {std::pair{"layer00", "{layer}"}, std::pair{"<parameter>", "{parameter}"}}) {
        if (const auto found = key.find(written); found != std::string::npos) {
          key.replace(found, std::string(written).size(), id);
        }
      }
      ids.insert(key);
    }
  }
  return ids;
}

std::set<std::string> declared(LineFile file) {
  std::set<std::string> ids;
  for (const Metric& m : metric_table()) {
    if (m.file == file || m.file == LineFile::kBoth) ids.insert(m.id);
  }
  return ids;
}

TEST(MetricTable, IsWhatTheDocsSay) {
  const std::string docs = read_file(fs::path(EVENKEEL_SOURCE_DIR) / "docs/formats/run_directory.md");
  EXPECT_EQ(documented(docs, "metrics.jsonl"), declared(LineFile::kMetrics));
  EXPECT_EQ(documented(docs, "heads.jsonl"), declared(LineFile::kHeads));
}

TEST(MetricTable, EveryRowIsComplete) {
  std::set<std::string> ids;
  for (const Metric& m : metric_table()) {
    EXPECT_TRUE(ids.insert(m.id).second) << m.id << " is declared twice";
    EXPECT_GT(std::string(m.doc).size(), 10u) << m.id;
    EXPECT_FALSE(std::string(m.reduction).empty()) << m.id;
    EXPECT_FALSE(std::string(m.cost).empty()) << m.id;
    if (std::string(m.id).find('/') != std::string::npos) {
      EXPECT_FALSE(std::string(m.source).empty()) << m.id;
    }
    EXPECT_NE(metric_listing_markdown().find(std::string("| `") + m.id + "` |"), std::string::npos);
  }
  EXPECT_EQ(metric_listing().size(), metric_table().size());
}

TEST(MetricTable, KeysFindTheirRow) {
  EXPECT_STREQ(find_metric("loss/train/ce")->id, "loss/train/ce");
  EXPECT_STREQ(find_metric("attn/layer00/logit_max")->id, "attn/{layer}/logit_max");
  EXPECT_STREQ(find_metric("attn/layer112/entropy")->id, "attn/{layer}/entropy");
  EXPECT_STREQ(find_metric("block/layer07/out_rms")->id, "block/{layer}/out_rms");
  EXPECT_STREQ(find_metric(tensor_key("blocks.0.attn.q.weight", "grad_rms"))->id,
               "tensor/{parameter}/grad_rms");
  for (const char* key :
       {"", "loss/train", "loss/train/ce2", "attn/layerxx/logit_max", "attn/layer/logit_max",
        "attn//logit_max", "tensor//grad_rms", "tensor/a/b/grad_rms", "attn/{layer}/logit_max"}) {
    EXPECT_EQ(find_metric(key), nullptr) << key;
  }
}

TEST(MetricTable, ParametersKnowTheirLayer) {
  EXPECT_EQ(layer_of("blocks.0.attn.q.weight"), "layer00");
  EXPECT_EQ(layer_of("blocks.112.mlp.fc1.bias"), "layer112");
  EXPECT_EQ(layer_of("encoder.layers.3.attn.norm.gain"), "encoder_layer03");
  EXPECT_EQ(layer_of("decoder.layers.0.cross.q.weight"), "decoder_layer00");
  for (const char* none : {"", "embed.weight", "head.weight", "final_norm.gain", "blocks.x.attn", "blocks.3"})
    EXPECT_EQ(layer_of(none), "") << none;
}

TEST(Recorder, SortsKeysIntoTheirRecords) {
  Recorder recorder;
  recorder.begin(20, 40960);
  EXPECT_FALSE(recorder.heads_record());
  recorder.scalar("loss/train/ce", 3.5);
  recorder.scalar("grad/all/norm", std::numeric_limits<double>::infinity());
  EXPECT_FALSE(recorder.heads_record());
  recorder.heads("attn/layer00/logit_max", std::vector<double>{1.5, -2.0});
  recorder.heads("attn/layer00/entropy", std::vector<double>{0.1, 0.2});
  recorder.scalar("tensor/head.weight/param_rms", 0.25);
  EXPECT_EQ(recorder.metrics_record(), (Json{{"step", 20},
                                             {"tokens", 40960},
                                             {"loss/train/ce", 3.5},
                                             {"grad/all/norm", std::numeric_limits<double>::infinity()}}));
  EXPECT_EQ(recorder.heads_record(), (Json{{"step", 20},
                                           {"attn/layer00/logit_max", {1.5, -2.0}},
                                           {"attn/layer00/entropy", {0.1, 0.2}},
                                           {"tensor/head.weight/param_rms", 0.25}}));
  recorder.begin(21, 43008);
  EXPECT_EQ(recorder.metrics_record(), (Json{{"step", 21}, {"tokens", 43008}}));
}

TEST(Recorder, KeysOutsideTheTableAreProgrammingErrors) {
  Recorder recorder;
  recorder.begin(1, 1);
  EXPECT_THROW(recorder.scalar("loss/train/cross_entropy", 1), std::logic_error);
  EXPECT_THROW(recorder.scalar("attn/layer00/logit_max", 1), std::logic_error);
  EXPECT_THROW(recorder.heads("loss/train/ce", std::vector<double>{1}), std::logic_error);
  EXPECT_THROW(recorder.scalar("step", 1), std::logic_error);
  recorder.scalar("loss/train/ce", 1);
  EXPECT_THROW(recorder.scalar("loss/train/ce", 1), std::logic_error);
}

}  // namespace
}  // namespace evenkeel::telemetry
