// What of libFuzzer is called: it has no header of its own. Linked by `-sanitize=fuzzer` alone.
// https://llvm.org/docs/LibFuzzer.html
#include <stddef.h>
#include <stdint.h>

// Runs `read` on changed inputs as the arguments say; ends the process when all runs are done.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*read)(const uint8_t *data, size_t size));

// Changes the bytes in place as libFuzzer would by itself; returns how many there are then.
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t maximum);
