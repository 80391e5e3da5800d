/** Finds the devices of this machine, and those that an option `device` means. */
import { arch, cpus } from 'node:os';
import { KexaError } from '../errors.js';
import { type NativeAdapter, native } from '../native.js';
import { invalid } from '../options.js';
import type { DeviceInfo } from '../types.js';
import { blobFolder, type DawnLibrary, findDawn, vulkanLibrary } from './dawn.js';

/** A device, with the facts that the core needs to use it. */
export interface ChosenDevice {
  info: DeviceInfo;
  /** The adapter's name for the core. Empty for the CPU. */
  adapter: string;
  dawnLibrary: string;
  vulkanLibrary: string;
  dawnIdentity: string;
  blobFolder: string;
  /** A text that differs for each adapter and driver. */
  tuningKey: string;
}

/**
 * Lists the devices of this machine. The first one is the one that `auto` takes.
 *
 * @example
 * const usable = (await listDevices()).filter((device) => device.usable);
 * const model = await loadModel('models/tiny', { device: usable[0]!.name });
 */
export async function listDevices(): Promise<DeviceInfo[]> {
  const { adapters } = await findAdapters();
  const gpus = adapters.map((adapter) => gpuDevice(adapter, adapters));
  return [...gpus.filter(isReal), cpuDevice(), ...gpus.filter((device) => !isReal(device))];
}

/** Whether a device computes on the processor and in main memory, as the CPU and software GPUs do. */
export function isOnProcessor({ kind, isSoftware }: Pick<DeviceInfo, 'kind' | 'isSoftware'>): boolean {
  return kind === 'cpu' || isSoftware;
}

function isReal(device: DeviceInfo): boolean {
  return !isOnProcessor(device);
}

function cpuDevice(): DeviceInfo {
  const model = cpus()[0]?.model.trim() || arch();
  return { name: 'cpu', kind: 'cpu', description: `${model}, ${cpus().length} cores`, isSoftware: false, usable: true };
}

function gpuDevice(adapter: NativeAdapter, all: readonly NativeAdapter[]): DeviceInfo {
  const { device, vendor, backend, description, isSoftware, heaps } = adapter;
  const about = [vendor, description, backend].filter((part) => part !== '').join(', ');
  const alike = all.filter((other) => other.device === device);
  const name = alike.length > 1 ? `${device}:${alike.indexOf(adapter)}` : device;
  const memoryBytes = Math.max(0, ...heaps.filter((heap) => heap.isDeviceLocal).map(({ bytes }) => bytes));
  // A software GPU's memory is main memory, and it names any part of that.
  const memory = !isSoftware && memoryBytes > 0 ? { memoryBytes } : {};
  return { name, kind: 'gpu', description: about, isSoftware, usable: true, ...memory };
}

/**
 * Dawn's Null backend, for tests: it checks what kernels and commands say and computes nothing. Never found by itself.
 */
function nullDevice(): DeviceInfo {
  const description = "Dawn's Null backend: compiles kernels, computes nothing";
  return { name: 'null', kind: 'gpu', description, isSoftware: true, usable: false };
}

/** The GPUs. `problem` tells why Dawn could not be used, if it could not. */
async function findAdapters(): Promise<{ adapters: NativeAdapter[]; library: DawnLibrary | null; problem: string }> {
  try {
    const problem = native().vulkanProblem(vulkanLibrary());
    if (problem !== '') return { adapters: [], library: null, problem };
    const library = await findDawn();
    return { adapters: await native().adapters(library.path, vulkanLibrary()), library, problem: '' };
  } catch (error) {
    return { adapters: [], library: null, problem: (error as Error).message };
  }
}

/**
 * The devices a `device` option means, in its order: one, or several that are to share a model.
 *
 * @throws KexaError KEXA_NO_DEVICE if it names one that is not there, KEXA_INVALID_ARGUMENT if two names mean one card.
 */
export async function chooseDevices(wanted: unknown): Promise<ChosenDevice[]> {
  if (!Array.isArray(wanted)) return [await chooseDevice(wanted)];
  if (wanted.length === 0)
    throw new KexaError('KEXA_INVALID_ARGUMENT', 'device: wanted at least one device, found an empty array');
  const chosen: ChosenDevice[] = [];
  for (const name of wanted as unknown[]) {
    const device = await chooseDevice(name ?? null);
    // A device that computes on the processor may be taken more than once, for tests.
    const same = chosen.findIndex(({ adapter }) => isReal(device.info) && adapter === device.adapter);
    if (same >= 0)
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `device: wanted different devices, found '${String(wanted[same])}' and '${String(name)}', which both mean ${device.info.name}; the second of its kind is called as in 'gpu:1'`,
      );
    chosen.push(device);
  }
  return chosen;
}

/** Several devices as one, for `model.device`. */
export function sharedDevice(devices: readonly DeviceInfo[]): DeviceInfo {
  const [first, ...others] = devices;
  if (others.length === 0) return first!;
  return {
    name: devices.map(({ name }) => name).join(' + '),
    kind: devices.some(({ kind }) => kind === 'gpu') ? 'gpu' : 'cpu',
    description: devices.map(({ description }) => description).join(' + '),
    isSoftware: devices.some(({ kind }) => kind === 'gpu') && devices.every(isOnProcessor),
    usable: devices.every(({ usable }) => usable),
  };
}

/**
 * The device a `device` option of one means.
 *
 * @throws KexaError KEXA_NO_DEVICE if it names one that is not there.
 */
export async function chooseDevice(wanted: unknown = 'auto'): Promise<ChosenDevice> {
  if (typeof wanted !== 'string' || wanted === '')
    throw invalid('device', "'auto', 'cpu', 'gpu' or part of a device's name", wanted);
  const noDawn = { dawnLibrary: '', vulkanLibrary: '', dawnIdentity: '', blobFolder: '' };
  const cpu = { info: cpuDevice(), adapter: '', ...noDawn, tuningKey: '' };
  const name = wanted.toLowerCase();
  if (name === 'cpu') return cpu;
  if (name === 'null') return onDawn(nullDevice(), 'null', 'null', await findDawn());
  const { adapters, library, problem } = await findAdapters();
  const found = pickAdapter(adapters, name);
  if (found !== undefined && library !== null)
    return onDawn(gpuDevice(found, adapters), nativeName(found, adapters), tuningKey(found), library);
  if (name === 'auto') return cpu;
  const software = adapters.filter(({ isSoftware }) => isSoftware).map((adapter) => gpuDevice(adapter, adapters).name);
  const names = ['cpu', ...adapters.map((adapter) => gpuDevice(adapter, adapters).name)].join(', ');
  const notes = [
    name === 'gpu' && software.length > 0
      ? `'gpu' is a real one; a software GPU has to be named: '${software[0]}'`
      : '',
    cpu.info.description.toLowerCase().includes(name) ? "the processor is called 'cpu'" : '',
    problem,
  ].filter((note) => note !== '');
  throw new KexaError('KEXA_NO_DEVICE', [`device: wanted '${wanted}', found ${names}`, ...notes].join('; '));
}

/** The adapter that a lower-case name means. `:N` after the name skips N adapters that the name fits. */
export function pickAdapter(adapters: readonly NativeAdapter[], wanted: string): NativeAdapter | undefined {
  const fitting = (name: string) =>
    adapters.filter((adapter) => (name === 'auto' || name === 'gpu' ? !adapter.isSoftware : isNamed(adapter, name)));
  const [, name, index] = /^(.+):(\d+)$/.exec(wanted) ?? [];
  return name === undefined ? fitting(wanted)[0] : fitting(name)[Number(index)];
}

/** The name by which find_adapter() of native/gpu/adapter.h finds the adapter. */
function nativeName(adapter: NativeAdapter, adapters: readonly NativeAdapter[]): string {
  const fitting = adapters.filter((other) => isNamed(other, adapter.device.toLowerCase()));
  return `${adapter.device}:${fitting.indexOf(adapter)}`;
}

function onDawn(info: DeviceInfo, adapter: string, key: string, { path, identity }: DawnLibrary): ChosenDevice {
  const dawn = { dawnLibrary: path, vulkanLibrary: vulkanLibrary(), dawnIdentity: identity, blobFolder: blobFolder() };
  return { info, adapter, ...dawn, tuningKey: key };
}

/** Differs for each adapter and driver, because drivers write their version into the description. */
export function tuningKey({ vendor, architecture, device, description, backend }: NativeAdapter): string {
  return [vendor, architecture, device, description, backend].join(' | ');
}

function isNamed(adapter: NativeAdapter, name: string): boolean {
  const { vendor, architecture, device, description } = adapter;
  return [vendor, architecture, device, description].some((part) => part.toLowerCase().includes(name));
}
