/** What kexa can compute on. */
import { arch, cpus } from 'node:os';
import { KexaError } from './errors.js';
import { invalid } from './options.js';
import type { DeviceInfo } from './types.js';

/** The devices of this machine that kexa knows of, the one `auto` takes first. */
export async function listDevices(): Promise<DeviceInfo[]> {
  return [cpuDevice()];
}

function cpuDevice(): DeviceInfo {
  const model = cpus()[0]?.model.trim() || arch();
  return { name: 'cpu', kind: 'cpu', description: `${model}, ${cpus().length} cores`, usable: true };
}

/**
 * The device a `device` option means.
 *
 * @throws KexaError KEXA_NO_DEVICE if it names one that is not there.
 */
export async function chooseDevice(wanted: unknown = 'auto'): Promise<DeviceInfo> {
  if (typeof wanted !== 'string' || wanted === '')
    throw invalid('device', "'auto', 'cpu', 'gpu' or part of a device's name", wanted);
  const devices = await listDevices();
  const name = wanted.toLowerCase();
  const found =
    name === 'auto'
      ? devices.find((device) => device.usable)
      : devices.find((device) => device.usable && (device.kind === name || device.name.toLowerCase().includes(name)));
  if (found !== undefined) return found;
  const names = devices.map((device) => device.name).join(', ');
  throw new KexaError(
    'KEXA_NO_DEVICE',
    `device: wanted '${wanted}', found ${names}; this version computes on the CPU only`,
  );
}
