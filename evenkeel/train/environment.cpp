#include "evenkeel/train/environment.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include <cstdlib>

#include "evenkeel/base/processor.h"
#include "evenkeel/kernels/denormals.h"

namespace evenkeel::train {
Json environment(Json known) {
  if (!known.is_object()) known = Json::object();
  utsname system{};
  if (::uname(&system) == 0) {
    known["host"] = system.nodename;
    known["system"] = std::string(system.sysname) + " " + system.release + " " + system.machine;
  }
  known["processor"] = processor_name();
  known["libtorch"] = TORCH_VERSION;
  // Chosen by hand they change the last bits of fp32 products.
  for (const char* name : {"OPENBLAS_CORETYPE", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}) {
    if (const char* value = std::getenv(name)) known[name] = value;
  }
  known["denormals"] = kernels::flushes_denormals() ? "flushed" : "kept";
  known["threads"] = at::get_num_threads();
  return known;
}

}  // namespace evenkeel::train
