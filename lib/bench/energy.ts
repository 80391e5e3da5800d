/** Reads electric energy, if the machine counts it. */
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isOnProcessor } from '../device/devices.js';
import type { DeviceInfo } from '../types.js';

/** A meter that counts energy from its opening on. */
export interface EnergyMeter {
  /** The name of the counter, with the parts that it counts. */
  readonly source: string;
  /** The shortest time that it can measure (milliseconds). */
  readonly leastMs: number;
  /** The energy so far (joules). Null if it is not known, such as before the first sample. */
  joules(): number | null;
  close(): void;
}

/**
 * Opens the counter of a device's energy: RAPL's packages for the processor, nvidia-smi for NVIDIA's GPUs. It counts
 * other processes too. Null if there is none or it may not be read.
 */
export function openEnergyMeter(device: DeviceInfo): EnergyMeter | null {
  return isOnProcessor(device) ? openRapl() : openNvidia(device);
}

interface Counter {
  path: string;
  /** The count at which the counter begins anew (microjoules). */
  range: number;
  last: number;
  microjoules: number;
}

/** Reads the packages of `intel-rapl` (AMD's too) from Linux's powercap files. Often only root may read these. */
export function openRapl(folder = '/sys/class/powercap'): EnergyMeter | null {
  const read = (...path: string[]) => readFileSync(join(folder, ...path), 'utf8').trim();
  let counters: Counter[];
  try {
    counters = readdirSync(folder)
      .filter((name) => /^intel-rapl:\d+$/.test(name) && read(name, 'name').startsWith('package'))
      .map((name) => ({
        path: join(name, 'energy_uj'),
        range: Number(read(name, 'max_energy_range_uj')),
        last: Number(read(name, 'energy_uj')),
        microjoules: 0,
      }));
  } catch {
    return null;
  }
  if (counters.length === 0 || counters.some(({ range, last }) => !(range > 0 && last >= 0))) return null;
  return {
    source: 'RAPL, packages',
    leastMs: 20,
    joules() {
      try {
        for (const counter of counters) {
          const now = Number(read(counter.path));
          counter.microjoules += now >= counter.last ? now - counter.last : now + counter.range - counter.last;
          counter.last = now;
        }
      } catch {
        return null;
      }
      return counters.reduce((sum, { microjoules }) => sum + microjoules, 0) / 1e6;
    },
    close() {},
  };
}

const samplingMs = 100;

/** Adds up the power of the device's NVIDIA GPU from samples of nvidia-smi. */
function openNvidia({ name, description }: DeviceInfo): EnergyMeter | null {
  let index: string | undefined;
  try {
    const list = execFileSync('nvidia-smi', ['--query-gpu=index,name', '--format=csv,noheader'], {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const known = `${name} ${description}`.toLowerCase();
    const found = list.split('\n').flatMap((line) => {
      const [number, ...words] = line.split(',');
      const gpu = words.join(',').trim().toLowerCase();
      return gpu !== '' && known.includes(gpu) ? [number!.trim()] : [];
    });
    // Several GPUs of one name cannot be told apart.
    if (found.length === 1) index = found[0];
  } catch {
    return null;
  }
  if (index === undefined) return null;
  const query = ['--query-gpu=power.draw', '--format=csv,noheader,nounits', '-i', index, '-lms', String(samplingMs)];
  const child = spawn('nvidia-smi', query, { stdio: ['ignore', 'pipe', 'ignore'] });
  child.unref();
  let watts: number | null = null;
  let at = performance.now();
  let joules = 0;
  const advance = () => {
    const now = performance.now();
    if (watts !== null) joules += (watts * (now - at)) / 1000;
    at = now;
  };
  child.on('error', () => {
    watts = null;
  });
  child.on('exit', () => {
    watts = null;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    advance();
    const last = Number(text.trim().split('\n').at(-1));
    watts = Number.isFinite(last) ? last : null;
  });
  return {
    source: `nvidia-smi, power of GPU ${index} every ${samplingMs} ms`,
    leastMs: 5 * samplingMs,
    joules() {
      advance();
      return watts === null ? null : joules;
    },
    close() {
      child.kill();
    },
  };
}
