/** The environment variables that have no flag. Variables that stand for a flag are in the table of that flag. */
import { homedir } from 'node:os';
import { join } from 'node:path';

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
  HF_TOKEN: 'for `kexa pull`: the token of an account at the hub. Default: what the file `token` in `HF_HOME` holds',
  HF_HOME: "the folder of Hugging Face's tools, instead of `~/.cache/huggingface`",
  HF_HUB_CACHE: 'the folder of pulled models, instead of `hub` in `HF_HOME`',
  HF_ENDPOINT: 'for `kexa pull`: the hub, instead of `https://huggingface.co`',
  HF_HUB_OFFLINE: 'set to `1`, `kexa pull` asks no hub',
  OPENAI_API_KEY: 'for `kexa batch --url`: the key that the server is given',
  NO_COLOR: 'set to anything, no colour',
} as const;

/** The variable's value. Undefined if it is not set, or set to nothing. */
export function variable(name: keyof typeof variables): string | undefined {
  return process.env[name] || undefined;
}

/** The user's folder for what kexa notes from run to run. Null: the user has no such folder. */
export function stateFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string | null {
  const { XDG_STATE_HOME, LOCALAPPDATA } = env;
  const named = platform === 'win32' ? LOCALAPPDATA : XDG_STATE_HOME;
  if (named) return join(named, 'kexa');
  try {
    return join(homedir(), '.local', 'state', 'kexa');
  } catch {
    // A user that the system does not know, as in containers.
    return null;
  }
}
