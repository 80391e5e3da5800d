/** The environment variables that have no flag. Variables that stand for a flag are in the table of that flag. */

/** The effect of each variable, for help and docs. */
export const variables = {
  KEXA_DEBUG: 'set to anything, errors come with their stacks',
  KEXA_BINARY: "the native addon to load, instead of the package's own",
  KEXA_CPU:
    "the CPU device's instructions: `plain`, `avx2`, `avx512`, `avx512vnni` or `neon`. Default: the best that this processor has, which `kexa doctor` tells. All but `plain`, which is slow and there to compare with, give the same bits",
  KEXA_PIN:
    '`0`: CPU threads may move between cores. Else the threads of one model at a time stay on their own cores (Linux), if there are as many threads as physical cores that this process may use',
  KEXA_DAWN_LIBRARY: "another library that exports Dawn's C API",
  KEXA_VULKAN_LIBRARY: "the Vulkan loader, where it is not on the system's path",
  KEXA_CACHE_DIR:
    'where kernels that were compiled once are kept, instead of `$XDG_CACHE_HOME/kexa` or `~/.cache/kexa`; empty keeps none',
  KEXA_TUNING:
    'the file that `kexa bench ops --tune` writes and models are loaded by, instead of `tuning.json` in that folder; `off` turns it off',
  KEXA_GPU_BUFFER_BYTES: "for tests: most bytes of a layer's routed experts in one GPU buffer",
  KEXA_KEEP_DEVICES:
    'for tests: set to anything, a closed model leaves its GPU open, with the kernels compiled on it, to the next model of the process',
  NO_COLOR: 'set to anything, no colour',
} as const;

/** The variable's value. Undefined if it is not set, or set to nothing. */
export function variable(name: keyof typeof variables): string | undefined {
  return process.env[name] || undefined;
}
