/** A GPU for machines that have none: SwiftShader and a Vulkan loader, out of npm @sparticuz/chromium. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { filesOfTar } from './tar.js';

const wanted = ['libvulkan.so.1', 'libvk_swiftshader.so', 'vk_swiftshader_icd.json'];
const folder = fileURLToPath(new URL('../../build/swiftshader', import.meta.url));

/** The settings under which Dawn finds the software GPU and keeps no kernels. Unpacks it on first use. */
export function softwareGpuEnvironment(): Record<
  'VK_ICD_FILENAMES' | 'KEXA_VULKAN_LIBRARY' | 'KEXA_CACHE_DIR',
  string
> {
  const settings = {
    // Nothing but what a test itself has compiled may decide whether it passes.
    KEXA_CACHE_DIR: '',
    VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'),
    KEXA_VULKAN_LIBRARY: join(folder, 'libvulkan.so.1'),
  };
  const package_ = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const archive = join(dirname(package_), '../bin/swiftshader.tar.br');
  const stamp = join(folder, 'stamp');
  try {
    if (readFileSync(stamp, 'utf8') === archive) return settings;
  } catch {
    // Not unpacked yet.
  }
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of filesOfTar(brotliDecompressSync(readFileSync(archive)))) {
    if (!wanted.includes(name)) continue;
    // Renamed into place: another test may have the old file mapped, or be unpacking its own.
    const unfinished = join(folder, `${name}.${process.pid}`);
    writeFileSync(unfinished, content);
    renameSync(unfinished, join(folder, name));
  }
  writeFileSync(stamp, archive);
  return settings;
}

/**
 * Lets this process use the software GPU. To be called before kexa looks for devices. `keepsDevices`: keeps one for all
 * models that a test file loads, so that it compiles each kernel once.
 */
export function useSoftwareGpu({ keepsDevices = true } = {}): void {
  Object.assign(process.env, softwareGpuEnvironment(), { KEXA_KEEP_DEVICES: keepsDevices ? '1' : '' });
}
