// What a process inherits from the one that started it, made ordinary. Supervisors and shells leave signals
// ignored and standard descriptors closed, and programs that do not look then hang, abort or write their data
// into what they take for standard error.
#pragma once

namespace evenkeel {

/// Call first in main():
/// - A closed descriptor 0, 1 or 2 becomes /dev/null, open for reading, so that no file of ours gets its
///   number; writing to it fails like writing to a full disk.
/// - SIGCHLD is not ignored, or the kernel would reap children unseen and waiting for them would never end.
/// - SIGPIPE and SIGXFSZ are: a write then fails with EPIPE or EFBIG, which has a sentence and an exit code.
void set_up_process();

/// True when the process was started with `signal` ignored, as `nohup` does with SIGHUP: to be respected.
bool is_ignored(int signal);

}  // namespace evenkeel
