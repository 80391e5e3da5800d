/** What kexa can compute on. */
import { arch, cpus } from 'node:os';
import { blobFolder, type DawnLibrary, findDawn } from './dawn.js';
import { KexaError } from './errors.js';
import { type NativeAdapter, native } from './native.js';
import { invalid } from './options.js';
import type { DeviceInfo } from './types.js';

/** A device, and what the core needs to know to use it. */
export interface ChosenDevice {
  info: DeviceInfo;
  /** Empty for the CPU. */
  adapter: string;
  dawnLibrary: string;
  dawnIdentity: string;
  blobFolder: string;
  /** Another for each adapter and driver. */
  tuningKey: string;
}

/** The devices of this machine that kexa knows of, the one `auto` takes first. */
export async function listDevices(): Promise<DeviceInfo[]> {
  const { adapters } = await findAdapters();
  const gpus = adapters.map(gpuDevice);
  return [...gpus.filter(isReal), cpuDevice(), ...gpus.filter((device) => !isReal(device))];
}

function isReal(device: DeviceInfo): boolean {
  return device.kind === 'gpu' && !device.isSoftware;
}

function cpuDevice(): DeviceInfo {
  const model = cpus()[0]?.model.trim() || arch();
  return { name: 'cpu', kind: 'cpu', description: `${model}, ${cpus().length} cores`, isSoftware: true, usable: true };
}

function gpuDevice(adapter: NativeAdapter): DeviceInfo {
  const { device, vendor, backend, description, isSoftware } = adapter;
  const about = [vendor, description, backend].filter((part) => part !== '').join(', ');
  return { name: device, kind: 'gpu', description: about, isSoftware, usable: true };
}

/**
 * Dawn's Null backend, for tests: it checks what kernels and commands say and computes nothing. Never found by itself.
 */
function nullDevice(): DeviceInfo {
  const description = "Dawn's Null backend: compiles kernels, computes nothing";
  return { name: 'null', kind: 'gpu', description, isSoftware: true, usable: false };
}

/** The GPUs, and where there are none because Dawn could not be used, why. */
async function findAdapters(): Promise<{ adapters: NativeAdapter[]; library: DawnLibrary | null; problem: string }> {
  try {
    const problem = native().vulkanProblem();
    if (problem !== '') return { adapters: [], library: null, problem };
    const library = await findDawn();
    return { adapters: await native().adapters(library.path), library, problem: '' };
  } catch (error) {
    return { adapters: [], library: null, problem: (error as Error).message };
  }
}

/**
 * The device a `device` option means.
 *
 * @throws KexaError KEXA_NO_DEVICE if it names one that is not there.
 */
export async function chooseDevice(wanted: unknown = 'auto'): Promise<ChosenDevice> {
  if (typeof wanted !== 'string' || wanted === '')
    throw invalid('device', "'auto', 'cpu', 'gpu' or part of a device's name", wanted);
  const cpu = { info: cpuDevice(), adapter: '', dawnLibrary: '', dawnIdentity: '', blobFolder: '', tuningKey: '' };
  const name = wanted.toLowerCase();
  if (name === 'cpu') return cpu;
  if (name === 'null') return onDawn(nullDevice(), 'null', 'null', await findDawn());
  const { adapters, library, problem } = await findAdapters();
  const found = adapters.find((adapter) =>
    name === 'auto' || name === 'gpu' ? !adapter.isSoftware : isNamed(adapter, name),
  );
  if (found !== undefined && library !== null) return onDawn(gpuDevice(found), found.device, tuningKey(found), library);
  if (name === 'auto') return cpu;
  const names = ['cpu', ...adapters.map(({ device }) => device)].join(', ');
  throw new KexaError('KEXA_NO_DEVICE', `device: wanted '${wanted}', found ${names}${problem && `; ${problem}`}`);
}

function onDawn(info: DeviceInfo, adapter: string, key: string, { path, identity }: DawnLibrary): ChosenDevice {
  return { info, adapter, dawnLibrary: path, dawnIdentity: identity, blobFolder: blobFolder(), tuningKey: key };
}

/** Drivers write their version into the description. */
export function tuningKey({ vendor, architecture, device, description, backend }: NativeAdapter): string {
  return [vendor, architecture, device, description, backend].join(' | ');
}

function isNamed(adapter: NativeAdapter, name: string): boolean {
  const { vendor, architecture, device, description } = adapter;
  return [vendor, architecture, device, description].some((part) => part.toLowerCase().includes(name));
}
