import { execFile } from 'node:child_process';
import { availableParallelism, cpus, freemem, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { packageRequire } from '../../package-root.js';
import type { DeviceInfo } from '../../types.js';
import type { DawnAdapter } from '../dawn-probe.js';
import { exitCodes, exitWith } from '../exit.js';
import { bytesText, groupedText } from '../figures.js';
import { wrapHelp } from '../help-text.js';
import { add } from '../options.js';
import { table, writeAnswer, writeJson } from '../output.js';

interface DoctorReport {
  /** Whether kexa can run models here. */
  ok: boolean;
  kexa: string;
  node: { version: string; path: string; napi: string };
  os: { type: string; release: string; platform: string; arch: string };
  cpu: { model: string; cores: number; usableCores: number };
  /** Main memory (bytes). `limit` is the container's. Null if there is none. */
  memory: { total: number; free: number; limit: number | null };
  /** `used` and `available` are the CPU device's instruction sets. `problem` tells why KEXA_CPU is refused. */
  native:
    | { path: string; loads: true; instructionSets: { used: string; available: string[] } | { problem: string } }
    | { loads: false; error: string };
  devices: DeviceInfo[];
  dawn: { version: string; adapters: DawnAdapter[]; error: string | null };
  /**
   * The file of `kexa bench ops --tune`, or null if tuning is off; and the devices that it has an entry for in this
   * version.
   */
  tuning: { path: string | null; devices: string[]; error: string | null };
}

const probeLimitMs = 10_000;

const about = `
Dawn is asked in a process of its own, for at most ${probeLimitMs / 1000} seconds, so that a driver's crash is only reported. Exit code 0
means that kexa can run models here, 1 that it cannot. Put the output into bug reports.`;

/** `kexa doctor`: what this machine has. */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('show what kexa finds on this machine')
    .description('Shows Node, the machine, the native addon, the devices, and the GPUs that Dawn sees.')
    .addHelpText('after', () => wrapHelp(about));
  add(command, 'Output:', '--json', 'print one JSON object');
  command.action(exitWith(doctor));
}

async function doctor(flags: { json?: boolean }): Promise<number> {
  const report = await examine();
  if (flags.json) await writeJson(report);
  else await writeAnswer(toText(report));
  return report.ok ? exitCodes.ok : exitCodes.failure;
}

async function examine(): Promise<DoctorReport> {
  const { listDevices } = await import('../../device/devices.js');
  const [devices, dawn, native, tuning] = await Promise.all([listDevices(), askDawn(), askNative(), askTuning()]);
  const total = totalmem();
  const limit = process.constrainedMemory();
  return {
    ok: native.loads && 'used' in native.instructionSets && devices.some(({ usable }) => usable),
    kexa: versionOf('../../../package.json'),
    node: { version: process.version, path: process.execPath, napi: process.versions.napi ?? '' },
    os: { type: type(), release: release(), platform: process.platform, arch: process.arch },
    cpu: { model: cpus()[0]?.model.trim() ?? '', cores: cpus().length, usableCores: availableParallelism() },
    memory: { total, free: freemem(), limit: limit !== undefined && limit > 0 && limit < total ? limit : null },
    native,
    devices,
    dawn,
    tuning,
  };
}

async function askTuning(): Promise<DoctorReport['tuning']> {
  const { readTuning, tuningPath } = await import('../../device/tuning.js');
  const { version } = await import('../../package-root.js');
  const path = tuningPath();
  if (path === null) return { path, devices: [], error: null };
  try {
    const entries = Object.entries(await readTuning(path));
    return {
      path,
      devices: entries.flatMap(([device, { kexa }]) => (kexa === version() ? [device] : [])),
      error: null,
    };
  } catch (error) {
    return { path, devices: [], error: (error as Error).message };
  }
}

async function askNative(): Promise<DoctorReport['native']> {
  const { computing, nativePath } = await import('../../native.js');
  try {
    return { loads: true, path: nativePath(), instructionSets: instructionSets(computing) };
  } catch (error) {
    return { loads: false, error: (error as Error).message };
  }
}

function instructionSets(addon: () => { instructionSets(): { used: string; available: string[] } }) {
  try {
    return addon().instructionSets();
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function askDawn(): Promise<DoctorReport['dawn']> {
  const probe = fileURLToPath(new URL('../dawn-probe.js', import.meta.url));
  const version = versionOf('webgpu/package.json');
  const options = { timeout: probeLimitMs, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, [probe], options, (failure, stdout, stderr) => {
      const said = firstLine(stderr);
      if (failure === null) {
        const { adapters, error } = JSON.parse(stdout) as Pick<DoctorReport['dawn'], 'adapters' | 'error'>;
        // Dawn warns about every backend it misses, which explains an empty list and is noise beside a full one.
        resolve({ version, adapters, error: adapters.length === 0 ? (error ?? (said || 'no adapter')) : null });
        return;
      }
      const reason = failure.killed
        ? `no answer within ${probeLimitMs / 1000} s`
        : failure.signal
          ? `crashed (${failure.signal})`
          : `ended with code ${failure.code}`;
      resolve({ version, adapters: [], error: said === '' ? reason : `${reason}: ${said}` });
    });
  });
}

function firstLine(stderr: string): string {
  // Drivers complain of a missing screen, which kexa does not need.
  const line = stderr.split('\n').find((text) => /\S/.test(text) && !text.includes('XDG_RUNTIME_DIR')) ?? '';
  return line.trim().replace(/^Warning: /, '');
}

function versionOf(file: string): string {
  try {
    return (packageRequire()(file) as { version: string }).version;
  } catch {
    return 'not installed';
  }
}

function toText({ ok, kexa, node, os, cpu, memory, native, devices, dawn, tuning }: DoctorReport): string {
  const rows = [
    ['kexa', kexa],
    ['Node', `${node.version}, Node-API ${node.napi}, ${node.path}`],
    ['system', `${os.type} ${os.release}, ${os.arch}`],
    ['CPU', `${cpu.model || 'unknown'}, ${cpu.cores} cores, ${cpu.usableCores} usable`],
    ['memory', `${bytesText(memory.total)}, ${bytesText(memory.free)} free${limitText(memory.limit)}`],
    ...(native.loads ? [['instructions', instructionText(native.instructionSets)]] : []),
    ['native addon', native.loads ? native.path : `does not load: ${native.error}`],
    ...devices.map(({ name, description, usable }) => [
      'device',
      `${name}: ${description}${usable ? '' : ' (not usable)'}`,
    ]),
    ['Dawn', `npm webgpu ${dawn.version}; ${dawn.error ?? `${dawn.adapters.length} found`}`],
    ...(/libvulkan|Vulkan loader/.test(dawn.error ?? '') ? [['', vulkanAdvice]] : []),
    ...dawn.adapters.flatMap(adapterRows),
    ['tuning', tuningText(tuning)],
  ];
  return `${table(rows)}\n${ok ? 'kexa can run models here.' : 'kexa cannot run models here.'}\n`;
}

const vulkanAdvice =
  'for a GPU install the Vulkan loader (Debian and Ubuntu: libvulkan1; Fedora: vulkan-loader) and its driver';

function tuningText({ path, devices, error }: DoctorReport['tuning']): string {
  if (path === null) return 'off';
  if (error !== null) return error;
  return devices.length === 0 ? `none (${path}, by kexa bench ops --tune)` : `${path}: ${devices.join('; ')}`;
}

function instructionText(sets: { used: string; available: string[] } | { problem: string }): string {
  return 'problem' in sets ? sets.problem : `${sets.used}, of ${sets.available.join(', ')}`;
}

function limitText(limit: number | null): string {
  return limit === null ? '' : `, this process may use ${bytesText(limit)}`;
}

function adapterRows(adapter: DawnAdapter): string[][] {
  const { vendor, architecture, device, description, backend, isSoftware, subgroupMin, subgroupMax } = adapter;
  const name = [device, description, vendor, architecture, backend].filter((word) => word !== '').join(', ');
  const features = {
    'shader-f16': adapter.hasF16,
    subgroups: adapter.hasSubgroups,
    'subgroup matrices': adapter.hasSubgroupMatrices,
    'timestamp-query': adapter.hasTimestamps,
    'inside passes': adapter.hasTimestampsInsidePasses,
  };
  const limits = {
    'bytes of a buffer': adapter.maxBufferBytes,
    'bytes of a binding': adapter.maxBindingBytes,
    'storage buffers of a kernel': adapter.maxStorageBuffers,
    'threads of a workgroup': adapter.maxInvocations,
    'threads of a workgroup along x': adapter.maxWorkgroupSizeX,
    'bytes of workgroup memory': adapter.maxWorkgroupBytes,
  };
  const heaps = adapter.heaps.map(
    ({ bytes, isDeviceLocal, isHostVisible }) =>
      `${bytesText(bytes)}${isDeviceLocal ? ' device-local' : ''}${isHostVisible ? ' host-visible' : ''}`,
  );
  const shapes = adapter.matrixShapes.map(
    ({ component, result, m, n, k }) => `${component} to ${result} ${m}x${n}x${k}`,
  );
  return [
    ['adapter', `${name}${isSoftware ? ' (software)' : ''}`],
    [
      '',
      Object.entries(features)
        .map(([feature, has]) => `${feature} ${has ? 'yes' : 'no'}`)
        .join(', '),
    ],
    ...(adapter.hasSubgroups ? [['', `subgroups of ${subgroupMin} to ${subgroupMax}`]] : []),
    ...(shapes.length > 0 ? [['', `matrices: ${shapes.join(', ')}`]] : []),
    ...(heaps.length > 0 ? [['', `memory: ${heaps.join(', ')}`]] : []),
    ...Object.entries(limits).map(([limit, value]) => ['', `${groupedText(value)} ${limit} at most`]),
  ];
}
