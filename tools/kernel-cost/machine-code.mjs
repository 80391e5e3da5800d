// Reads NVIDIA's machine code out of a cubin (an ELF file) and counts the instructions of its loops, without NVIDIA's
// disassembler. An instruction has 16 bytes; its lowest 12 bits name the operation.

/** The unit of a multiprocessor that an operation occupies. Operations in no list only take a slot of issue. */
const pipes = {
  fma: 'FFMA FMUL FADD IMAD IMAD.WIDE IMAD.HI HFMA2 HADD2 HMUL2 FSEL',
  int: 'LOP3 SHF SEL ISETP LEA IADD3 IADD IMNMX VIMNMX MOV FSETP FMNMX PRMT I2FP IABS PLOP3 SGXT BMSK IDP4A',
  xu: 'I2F F2I MUFU POPC FLO F2F',
};
const pipeOf = new Map(Object.entries(pipes).flatMap(([pipe, names]) => names.split(' ').map((name) => [name, pipe])));

/** Operations with operands in several forms, which bits 9 to 11 tell apart. */
const families = {
  514: 'MOV',
  519: 'SEL',
  520: 'FSEL',
  521: 'FMNMX',
  523: 'FSETP',
  524: 'ISETP',
  528: 'IADD3',
  529: 'LEA',
  530: 'LOP3',
  531: 'IABS',
  534: 'PRMT',
  535: 'IMNMX',
  537: 'SHF',
  538: 'BMSK',
  539: 'SGXT',
  540: 'PLOP3',
  544: 'FMUL',
  545: 'FADD',
  547: 'FFMA',
  548: 'IMAD',
  549: 'IMAD.WIDE',
  550: 'IDP4A',
  551: 'IMAD.HI',
  560: 'HADD2',
  561: 'HFMA2',
  562: 'HMUL2',
  565: 'IADD',
  581: 'I2FP',
  584: 'VIMNMX',
};
/** Operations that convert, or that are computed by the special unit. */
const special = { 772: 'F2F', 773: 'F2I', 774: 'I2F', 776: 'MUFU', 777: 'POPC', 768: 'FLO', 786: 'I2F' };
/** Operations in one form. */
const single = {
  572: 'HMMA',
  897: 'LDG',
  902: 'STG',
  903: 'STL',
  904: 'STS',
  905: 'SHFL',
  1417: 'SHFL',
  2076: 'PLOP3',
  2330: 'DEPBAR',
  2369: 'BSYNC',
  2373: 'BSSY',
  2375: 'BRA',
  2381: 'EXIT',
  2432: 'LD',
  2433: 'LDG',
  2435: 'LDL',
  2436: 'LDS',
  2438: 'STG',
  2439: 'STL',
  2440: 'STS',
  2441: 'SHFL',
  2845: 'BAR',
  2946: 'LDC',
  3977: 'SHFL',
};

/** The name of an operation, or its number in hexadecimal if no table has it. */
function nameOf(operation) {
  if (operation in single) return single[operation];
  const family = (operation & 0x1ff) | 0x200;
  if (operation >= 0x200 && family in families) return families[family];
  const converting = (operation & 0xff) | 0x300;
  if (operation & 0x100 && converting in special) return special[converting];
  return `0x${operation.toString(16)}`;
}

/**
 * The instructions of a cubin's only kernel.
 *
 * @param {Buffer} cubin The file.
 * @param {string} arch `sm_80` or `sm_90`, which write jumps in two ways.
 * @returns {{ name: string, loadBytes: number, target: number }[]} For each: the operation, the bytes that a thread
 *   loads from the GPU's memory, and for a jump the index of the instruction that it goes to; else -1.
 */
export function instructions(cubin, arch) {
  const code = textSection(cubin);
  const list = [];
  for (let at = 0; at < code.length; at += 16) {
    const low = code.readBigUInt64LE(at);
    const high = code.readBigUInt64LE(at + 8);
    const name = nameOf(Number(low & 0xfffn));
    const size = Number((high >> 9n) & 7n);
    const loadBytes = name === 'LDG' ? [1, 1, 2, 2, 4, 8, 16, 16][size] : 0;
    list.push({ name, loadBytes, target: name === 'BRA' ? targetOf(low, high, at / 16, arch) : -1 });
  }
  return list;
}

function targetOf(low, high, index, arch) {
  let distance = BigInt.asIntN(48, (low >> 34n) | ((high & 0x3ffffn) << 30n));
  // From sm_90 on, eight more bits of the distance stand lower.
  if (arch !== 'sm_80') distance = distance * 256n + ((low >> 16n) & 255n);
  return index + 1 + Number(distance * 4n) / 16;
}

/** The section of machine code in an ELF file with one kernel. */
function textSection(elf) {
  const table = Number(elf.readBigUInt64LE(0x28));
  const names = sectionAt(elf, table, elf.readUInt16LE(0x3e));
  for (let i = 0; i < elf.readUInt16LE(0x3c); i++) {
    const section = sectionAt(elf, table, i);
    const at = names.offset + section.name;
    if (elf.toString('latin1', at, elf.indexOf(0, at)).startsWith('.text.'))
      return elf.subarray(section.offset, section.offset + section.size);
  }
  throw new Error('the cubin has no kernel');
}

function sectionAt(elf, table, index) {
  const at = table + index * 64;
  return {
    name: elf.readUInt32LE(at),
    offset: Number(elf.readBigUInt64LE(at + 24)),
    size: Number(elf.readBigUInt64LE(at + 32)),
  };
}

/**
 * Counts one turn of a kernel's hot loop, for a thread. That loop is the largest loop that holds no other large one, or
 * the outer of two nested ones where `innerTurns` tells how often the inner one runs.
 *
 * @param {ReturnType<typeof instructions>} code The kernel.
 * @param {(counts: object) => number} [innerTurns] The turns of a nested loop with these counts.
 */
export function hotLoop(code, innerTurns) {
  const loops = code
    .map(({ target }, end) => ({ first: target, end: end + 1 }))
    .filter(({ first, end }) => first >= 0 && first < end);
  const isInside = (inner, outer) => inner !== outer && inner.first >= outer.first && inner.end <= outer.end;
  const size = ({ first, end }) => end - first;
  const large = loops.filter((loop) => size(loop) >= 24);
  const innermost = large.filter((loop) => !large.some((other) => isInside(other, loop)));
  const largest = (list) => list.reduce((a, b) => (size(b) > size(a) ? b : a));
  if (innermost.length === 0) return countsOf(code);
  const inner = largest(innermost);
  const outer = innerTurns && loops.filter((loop) => isInside(inner, loop));
  if (!outer?.length) return countsOf(code.slice(inner.first, inner.end));
  const around = outer.reduce((a, b) => (size(b) < size(a) ? b : a));
  const own = countsOf(code.slice(inner.first, inner.end));
  const rest = countsOf([...code.slice(around.first, inner.first), ...code.slice(inner.end, around.end)]);
  const turns = innerTurns(own);
  return Object.fromEntries(Object.keys(own).map((name) => [name, rest[name] + own[name] * turns]));
}

/** Instructions by pipe, and what they load. */
export function countsOf(code) {
  const counts = { all: 0, fma: 0, int: 0, xu: 0, dots: 0, ffma: 0, loadBytes: 0, shared: 0, local: 0 };
  for (const { name, loadBytes } of code) {
    counts.all++;
    const pipe = pipeOf.get(name);
    if (pipe) counts[pipe]++;
    if (name === 'IDP4A') counts.dots++;
    if (name === 'FFMA') counts.ffma++;
    if (name === 'LDS' || name === 'STS') counts.shared++;
    if (name === 'LDL' || name === 'STL') counts.local++;
    counts.loadBytes += loadBytes;
  }
  return counts;
}
