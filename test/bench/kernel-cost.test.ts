/** tools/kernel-cost.mjs: transcription of WGSL, reading of machine code, and the model of a step. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'tape';
import { root, temporaryFolder } from '../support/cli.js';

// biome-ignore lint/suspicious/noExplicitAny: the tools have no types
type Tool = Record<string, any>;

/** A module of the tool. */
async function tool(name: string): Promise<Tool> {
  return (await import(join(root, 'tools/kernel-cost', name))) as Tool;
}

const sums = `enable f16;
const THREADS = 64u;
const COUNT = THREADS * 3u / 2u;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> parts: array<f32, THREADS>;
struct Pair { a: vec4f, b: array<f32, 2> }
fn both(own: Pair, to: ptr<function, f32>) -> f32 { (*to) += own.a.x; return fma(own.b[0], own.a.y, own.b[1]); }
@compute @workgroup_size(THREADS)
fn sums(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  var sum = 0.0;
  for (var unit = thread; unit < 4096u; unit += THREADS) {
    let own = Pair(x[group.x * 4096u + unit], array(1.5, 2.0));
    sum += both(own, &sum);
${'    sum = fma(sum, own.a.w, own.a.z);\n'.repeat(24)}  }
  parts[thread] = sum;
  workgroupBarrier();
  if (thread == 0u) { y[group.x] = parts[0] + parts[1]; }
}
`;

test('kernel-cost: constants of a text', async (t) => {
  const { constantsOf } = await tool('transcribe.mjs');
  const c = constantsOf('const A = 7u;\nconst B = A / 2u * 3u;\nconst IS_OWN = true;\nconst C = max(B, 20u) % 6u;\n');
  t.equal(c('B'), 9, 'whole numbers are divided as WGSL does');
  t.equal(c('C'), 2);
  t.equal(c('IS_OWN'), 1);
  t.throws(() => c('D'), /declares no D/);
  t.end();
});

test('kernel-cost: WGSL becomes CUDA C', async (t) => {
  const { transcribe } = await tool('transcribe.mjs');
  const { cuda, name, threads } = transcribe(sums, { keepsLoops: true });
  t.deepEqual([name, threads], ['sums', 64]);
  t.match(cuda, /const vec4f\* __restrict__ x;/);
  t.match(cuda, /Array<f32, \(THREADS\)> &parts;/);
  t.match(cuda, /f32 both\(Pair own, f32\* to\)/);
  t.match(cuda, /_Pragma\("unroll 1"\) for \(auto unit = thread;/);
  t.doesNotMatch(cuda, /\bfn |\blet |enable /, 'no WGSL is left');
  t.throws(() => transcribe('fn f() {}'), /no entry/);
  t.end();
});

// An instruction: its operation in the lowest 12 bits, the size of a load in bits 9 to 11 of the upper half, the
// distance of a jump (in bytes) from bit 34 on, by fours.
const instruction = (operation: number, size = 0, distance = 0) => {
  const bytes = Buffer.alloc(16);
  const jump = BigInt.asUintN(48, BigInt(distance / 4));
  bytes.writeBigUInt64LE((BigInt(operation) | (jump << 34n)) & 0xffffffffffffffffn, 0);
  bytes.writeBigUInt64LE((BigInt(size) << 9n) | (jump >> 30n), 8);
  return bytes;
};
/** An ELF file of two sections: the names, and the code of a kernel. */
function elf(code: Buffer) {
  const names = Buffer.from('\0.text.kernel\0', 'latin1');
  const head = Buffer.alloc(64 + 2 * 64);
  head.writeBigUInt64LE(64n, 0x28);
  head.writeUInt16LE(2, 0x3c);
  const section = (index: number, name: number, offset: number, size: number) => {
    head.writeUInt32LE(name, 64 + index * 64);
    head.writeBigUInt64LE(BigInt(offset), 64 + index * 64 + 24);
    head.writeBigUInt64LE(BigInt(size), 64 + index * 64 + 32);
  };
  section(0, 0, head.length, names.length);
  section(1, 1, head.length + names.length, code.length);
  return Buffer.concat([head, names, code]);
}

test('kernel-cost: instructions of a cubin, and its loops', async (t) => {
  const { countsOf, hotLoop, instructions } = await tool('machine-code.mjs');
  const [load, fma, dot, convert, jump] = [0x981, 0x223, 0x226, 0x306, 0x947];
  const inner = [
    ...Array.from({ length: 20 }, () => instruction(fma)),
    ...Array.from({ length: 8 }, () => instruction(dot)),
  ];
  const code = Buffer.concat([
    instruction(load, 6),
    instruction(load, 4),
    instruction(convert),
    ...inner,
    instruction(jump, 0, -(inner.length + 1) * 16),
    instruction(jump, 0, -(inner.length + 5) * 16),
    instruction(0x94d),
  ]);
  const list = instructions(elf(code), 'sm_80');
  t.deepEqual(list.slice(0, 3), [
    { name: 'LDG', loadBytes: 16, target: -1 },
    { name: 'LDG', loadBytes: 4, target: -1 },
    { name: 'I2F', loadBytes: 0, target: -1 },
  ]);
  t.deepEqual(
    list.filter(({ target }: { target: number }) => target >= 0).map(({ target }: { target: number }) => target),
    [3, 0],
  );
  const all = countsOf(list);
  t.deepEqual([all.all, all.fma, all.int, all.xu, all.dots, all.loadBytes], [34, 20, 8, 1, 8, 20]);
  const one = hotLoop(list);
  t.deepEqual([one.all, one.loadBytes], [29, 0], 'the inner loop alone');
  const two = hotLoop(list, () => 2);
  t.deepEqual(
    [two.all, two.fma, two.loadBytes],
    [29 * 2 + 4, 40, 20],
    'a turn of the outer loop with two of the inner',
  );
  t.end();
});

test('kernel-cost: the model of a step', async (t) => {
  const { cards, dispatchTime, distinctExperts, stepTime, warpClocks, workgroupsPerSm } = await tool('step-model.mjs');
  const a100 = cards['A100-80GB'];
  t.equal(workgroupsPerSm({ registers: 56, sharedBytes: 0, threads: 128 }, a100), 9, 'of 65,536 registers');
  t.equal(workgroupsPerSm({ registers: 32, sharedBytes: 81920, threads: 128 }, a100), 2, 'of workgroup memory');
  t.equal(workgroupsPerSm({ registers: 16, sharedBytes: 0, threads: 1024 }, a100), 2, 'of 64 warps');
  t.deepEqual(warpClocks({ all: 40, fma: 30, int: 4, xu: 4 }, a100), { pipe: 'fma', clocks: 15 });
  t.deepEqual(warpClocks({ all: 40, fma: 4, int: 4, xu: 8 }, a100), { pipe: 'xu', clocks: 16 });
  t.ok(Math.abs(distinctExperts(1, 128, 8) - 8) < 1e-9);
  t.ok(distinctExperts(16, 128, 8) < 128 && distinctExperts(1e6, 128, 8) > 127.9);

  const counts = { all: 100, fma: 10, int: 10, xu: 1 };
  const kernel = { name: 'k', workgroups: 108 * 80, perSm: 8, warps: 4, count: 1 };
  const large = { counts, warpTurns: 4, share: 1, bytes: 2.039e9 * 0.88 };
  const one = dispatchTime({ ...kernel, loops: [large] }, a100);
  t.equal(one.bound, 'memory');
  // A millisecond of reading. Arithmetic: 25 clocks, 4 turns, 80 workgroups at 1.41 GHz and 85 %: 6.7 us beside it.
  t.ok(Math.abs(one.microseconds - 1002.5) < 0.1, String(one.microseconds));
  const slow = dispatchTime({ ...kernel, loops: [{ ...large, counts: { ...counts, all: 1e5 } }] }, a100);
  t.equal(slow.bound, 'issue');
  t.equal(dispatchTime({ ...kernel, name: 'route', loops: [] }, a100).bound, 'latency');
  const step = stepTime([{ ...kernel, loops: [large], count: 3 }], a100);
  t.ok(Math.abs(step.microseconds - 3 * one.microseconds) < 1e-9);
  t.ok(step.share > 0.87 && step.share < 0.88, String(step.share));
  t.end();
});

test('kernel-cost: tables and comparison', async (t) => {
  const { compareReports, tableOf } = await tool('report.mjs');
  const kernel = {
    ...{ name: 'multiply qkv', weights: 'q8_0', rows: 1, arch: 'sm_80', instructionsPerWeight: 5.7, registers: 56 },
    ...{ localBytes: 0, workgroupsPerSm: 9, waves: 2.6, bytesInFlight: 4096 },
  };
  const estimate = { card: 'H200', recipe: 'q4', kind: 'decode', rows: 1, tokensPerSecond: 100, share: 0.3 };
  const before = { kernels: [kernel], estimates: [estimate] };
  const after = { kernels: [{ ...kernel, registers: 80 }], estimates: [{ ...estimate, tokensPerSecond: 150 }] };
  t.equal(compareReports(before, before), 'no figure differs');
  const text = compareReports(before, after);
  t.match(text, /multiply qkv q8_0 1 sm_80: registers \| 56 \| 80 \| 1\.43/);
  t.match(text, /H200 q4 decode 1: tokensPerSecond \| 100 \| 150 \| 1\.50/);
  t.match(tableOf({ ...before, parts: [] }), /\| multiply qkv \| q8_0 \| 1 \| sm_80 \| 5\.70 \|/);
  t.end();
});

test('kernel-cost: a kernel through nvcc', async (t) => {
  const { Compiler, hasNvcc } = await tool('costs.mjs');
  if (!hasNvcc()) {
    t.comment('skipped: nvcc is not here');
    t.end();
    return;
  }
  const compiler = new Compiler(temporaryFolder(t));
  for (const arch of ['sm_80', 'sm_90']) {
    const compiled = await compiler.compile(sums, arch);
    t.equal(compiled.threads, 64);
    t.ok(compiled.registers > 8 && compiled.registers < 64, `${compiled.registers} registers`);
    t.equal(compiled.localBytes, 0);
    t.equal(compiled.sharedBytes, 256, 'as many bytes of workgroup memory as the text has');
    const turn = await compiler.loop(sums, arch);
    t.equal(turn.loadBytes, 16, `a turn loads a vector (${arch})`);
    t.ok(turn.ffma >= 24 && turn.all < 60, JSON.stringify(turn));
  }
  t.end();
});

test('kernel-cost: --compare', (t) => {
  const { status, stderr } = spawnSync(process.execPath, [
    join(root, 'tools/kernel-cost.mjs'),
    '--compare',
    'one.json',
  ]);
  t.equal(status, 1);
  t.match(String(stderr), /--compare wants two files/);
  t.end();
});
