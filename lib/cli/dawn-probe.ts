/**
 * Prints as JSON what Dawn sees on this machine. A program of its own: drivers may crash or hang the process that asks,
 * and `kexa doctor` must not go with it.
 */
import { writeSync } from 'node:fs';
import { create } from 'webgpu';

/** One adapter, as Dawn reports it. */
export interface DawnAdapter {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  isFallback: boolean;
  /** Those that kexa's kernels can use. */
  features: Record<(typeof wantedFeatures)[number], boolean>;
  limits: Record<(typeof wantedLimits)[number], number>;
}

const wantedFeatures = ['shader-f16', 'subgroups', 'timestamp-query'] as const;
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
] as const;

const requests = [
  { powerPreference: 'high-performance' },
  { powerPreference: 'low-power' },
  { forceFallbackAdapter: true },
] as const;

const gpu = create([]);
const adapters = new Map<string, DawnAdapter>();
for (const request of requests) {
  const adapter = await gpu.requestAdapter(request);
  if (adapter === null) continue;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const named = { vendor, architecture, device, description, isFallback: isFallbackAdapter };
  adapters.set(JSON.stringify(named), {
    ...named,
    features: Object.fromEntries(
      wantedFeatures.map((name) => [name, adapter.features.has(name)]),
    ) as DawnAdapter['features'],
    limits: Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]])) as DawnAdapter['limits'],
  });
}
writeSync(1, JSON.stringify([...adapters.values()]));
// Dawn keeps a process alive while its objects are referenced.
process.exit(0);
