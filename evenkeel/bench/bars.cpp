#include "evenkeel/bench/bars.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/processor.h"
#include "evenkeel/base/version.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::bench {
namespace {

/// Which measurements a bar is for.
enum class For { kAmx, kBf16, kAll };  // kAmx and kBf16: bf16 on the fused path, on machines with AMX or any

struct Bar {
  const char* config;
  const char* what;
  Json::json_pointer value;  ///< in the config's object; for throughput the ratio to each torch peer in bf16
  bool at_least;
  double bar;
  std::optional<double> aim;
  For set_for = For::kAmx;
};

const std::vector<Bar>& all_bars() {
  using Pointer = Json::json_pointer;
  const Pointer ratio("/ratio"), upper("/telemetry_overhead/upper95");
  const Pointer spectra("/spectra_overhead/amortised_upper95");
  const Pointer sigma("/treatments/interventions.sigma_reparam=on/upper95");
  const Pointer qk_norm("/treatments/interventions.qk_norm=per_head/upper95");
  static const std::vector<Bar> all{
      {"tiny", "throughput", ratio, true, 3.0, {}},
      {"S", "throughput", ratio, true, 2.0, 4.0},
      {"M", "throughput", ratio, true, 1.9, 4.0},
      {"L", "throughput", ratio, true, 1.6, 3.0},
      {"mt_tiny", "throughput", ratio, true, 1.5, {}, For::kBf16},
      {"mt_base", "throughput", ratio, true, 1.5, {}, For::kBf16},
      {"S", "telemetry, upper 95 %", upper, false, 1.03, 1.01},
      {"M", "telemetry, upper 95 %", upper, false, 1.03, 1.01},
      {"S", "spectra, upper 95 %", spectra, false, 1.03, {}},
      {"M", "spectra, upper 95 %", spectra, false, 1.03, {}},
      {"S", "sigma-reparam, upper 95 %", sigma, false, 1.08, 1.03},
      {"M", "sigma-reparam, upper 95 %", sigma, false, 1.08, 1.03},
      {"S", "qk-norm, upper 95 %", qk_norm, false, 1.05, {}},
      {"M", "qk-norm, upper 95 %", qk_norm, false, 1.05, {}},
      {"L", "peak memory", Pointer("/peak_bytes"), false, 2.5e9, 1.6e9},
      {"S", "two processes / one", Pointer("/processes/ratio"), true, 1.1, {}},
      {"S", "same bits, 1 and 2 threads", Pointer("/bits/fused/threads"), true, 1, {}, For::kAll},
      {"S", "same bits, telemetry on and off", Pointer("/bits/fused/telemetry"), true, 1, {}, For::kAll},
      {"S", "first step, s", Pointer("/first_step_s/median"), false, 1.2, {}},
      {"S", "busy / alone", Pointer("/loaded/busy/ratio"), true, 0.45, {}, For::kBf16},
      {"S", "niced / alone", Pointer("/loaded/niced/ratio"), true, 0.45, {}, For::kBf16},
      {"collapsed",
       "fused fp32, upper 95 %",
       Pointer("/collapsed/fused_fp32/upper95"),
       false,
       1.15,
       {},
       For::kAll},
      {"collapsed",
       "fused bf16, upper 95 %",
       Pointer("/collapsed/fused_bf16/upper95"),
       false,
       1.15,
       {},
       For::kAll},
      {"collapsed",
       "plain fp32, upper 95 %",
       Pointer("/collapsed/plain_fp32/upper95"),
       false,
       1.15,
       {},
       For::kAll},
  };
  return all;
}

Json outcome(const Bar& bar, const std::string& what, const Json& measured, bool applies) {
  const double value = measured.is_boolean() ? (measured.get<bool>() ? 1 : 0) : measured.get<double>();
  return {{"config", bar.config},
          {"what", what},
          {"measured", measured},
          {bar.at_least ? "at_least" : "at_most", bar.bar},
          {"aim", bar.aim ? Json(*bar.aim) : Json(nullptr)},
          {"pass", bar.at_least ? value >= bar.bar : value <= bar.bar},
          {"applies", applies}};
}

}  // namespace

Json machine() {
  const std::vector<std::string> flags = processor_flags();
  const auto has = [&](const char* flag) {
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
  };
  Json sets = Json::array();
  for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16"})
    if (has(flag)) sets.push_back(flag);
  Json environment = Json::object();
  for (char** entry = environ; *entry; ++entry) {
    const std::string text(*entry), name = text.substr(0, text.find('='));
    for (const char* prefix : {"OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_",
                               "EVENKEEL_", "GLIBC_TUNABLES", "MALLOC_"})
      if (name.rfind(prefix, 0) == 0) environment[name] = text.substr(std::min(name.size() + 1, text.size()));
  }
  double load = 0;  // stays 0 where it is not known
  ::getloadavg(&load, 1);
  utsname system{};
  ::uname(&system);
  return {{"processor", processor_name()},
          {"instruction_sets", sets},
          {"amx", has("amx_bf16")},
          {"cores", sweep::usable_cores()},
          {"load", load},
          {"system", std::string(system.sysname) + " " + system.release},
          {"evenkeel", kVersion},
          {"environment", environment}};
}

Json bars(const Json& configs, const Json& machine) {
  Json result = Json::array();
  for (const Bar& bar : all_bars()) {
    if (!configs.contains(bar.config)) continue;
    const Json& config = configs[bar.config];
    if (!config.contains(bar.value) || config[bar.value].is_null()) continue;
    const Json& value = config[bar.value];
    const bool is_fast_path = config.at("precision") == "bf16" && config.at("ops") == "fused";
    const bool applies = bar.set_for == For::kAll ||
                         (is_fast_path && (bar.set_for == For::kBf16 || machine.at("amx") == true));
    if (!value.is_object()) {
      result.push_back(outcome(bar, bar.what, value, applies));
      continue;
    }
    for (const auto& [peer, ratio] : value.items()) {
      const bool set_for_it = peer.rfind("torch_", 0) == 0 && peer.ends_with("_bf16");
      if (set_for_it) result.push_back(outcome(bar, std::string(bar.what) + " / " + peer, ratio, applies));
    }
  }
  return result;
}

}  // namespace evenkeel::bench
