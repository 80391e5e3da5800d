// Transcribes a kernel's WGSL to CUDA C, so that NVIDIA's compiler can tell what the kernel costs. This is a
// translation of texts, not a compiler: it knows the WGSL that native/kernels writes, and no more. wgsl.cuh holds the
// types and functions that CUDA lacks.

/**
 * The CUDA C of a kernel.
 *
 * @param {string} wgsl The kernel's whole text.
 * @param {object} [options]
 * @param {boolean} [options.keepsLoops] Whether loops over what a thread owns, and over a unit's chunks, stay one turn a
 *   jump, so that a turn's instructions can be counted. Else the compiler decides. Default false.
 * @returns {{ cuda: string, name: string, threads: number }} The text, the entry's name and its threads.
 */
export function transcribe(wgsl, { keepsLoops = false } = {}) {
  let text = wgsl
    .replace(/\/\/[^\n]*/g, '')
    .replace(/\b(enable|requires) [^;]*;/g, '')
    .replace(/,(\s*)\)/g, '$1)')
    // A word of a vector in a buffer is read as a word, as a driver reads it.
    .replace(/return (\w+)\[at \+ i \/ 4u\]\[i % 4u\];/g, 'return ((const u32*)$1)[(at + i / 4u) * 4u + i % 4u];')
    .replace(/vec4<u32>/g, 'vec4u')
    .replace(/vec4<f16>/g, 'vec4h')
    .replace(/vec4<f32>/g, 'vec4f')
    .replace(/atomic<u32>/g, 'u32')
    .replace(/atomic<i32>/g, 'i32')
    .replace(/^(\s*)alias (\w+) = ([^;]+);/gm, '$1typedef $3 $2;');
  text = constants(text);
  text = text.replace(/array<array<(\w+), (\w+)>, (\w+)>\(\)/g, 'Array<Array<$1, $2>, $3>{}');

  const buffers = [];
  text = text.replace(
    /@group\(0\)\s*@binding\(\d+\)\s*var<storage,\s*(\w+)>\s*(\w+):\s*array<([^;]+)>;/g,
    (_, access, name, type) => {
      buffers.push({ name, type: `${access === 'read' ? 'const ' : ''}${type}` });
      return '';
    },
  );
  const shared = [];
  text = text.replace(/var<workgroup> (\w+): ([^;]+);/g, (_, name, type) => {
    shared.push({ name, type: arrays(type) });
    return '';
  });
  const own = [];
  text = text.replace(/var<private> (\w+): ([^;]+);/g, (_, name, type) => {
    own.push({ name, type: arrays(type) });
    return '';
  });
  text = arrays(text).replace(/\barray\(/g, 'make_array(');

  const structs = [];
  text = text.replace(/struct (\w+) \{([^}]*)\}/g, (_, name, fields) => {
    structs.push(name);
    const members = split(fields).map((field) => {
      const [member, type] = named(field);
      return `${type} ${member}; `;
    });
    return `struct ${name} { ${members.join('')}};`;
  });
  for (const name of structs) text = text.replace(new RegExp(`\\b(?<!struct )${name}\\(`, 'g'), `make_${name}(`);

  const entry = /@compute @workgroup_size\(([^)]*)\)\s*fn (\w+)\(((?:[^()]|\([^()]*\))*)\)\s*\{/.exec(text);
  if (!entry) throw new Error('the text has no entry');
  const [whole, size, name, parameters] = entry;
  text = text.replace(
    whole,
    () => `__device__ __forceinline__ void entry_() {\n${inputs(parameters, wgsl.includes('subgroup_size: u32'))}`,
  );
  text = statements(keepsLoops ? withLoops(text) : text);

  const take = (pattern) => {
    const found = text.match(pattern) ?? [];
    text = text.replace(pattern, '');
    return found;
  };
  const aliases = take(/typedef [^;]+;/g);
  const values = inOrder(take(/^(?:__constant__ u32|__device__ constexpr auto) [^;]+;/gm));
  const types = take(/struct \w+ \{[^}]*\};/g);
  const makers = structs.map(
    (type) => `template <class... A> __device__ __forceinline__ ${type} make_${type}(A... a) { return ${type}{a...}; }`,
  );
  // The functions become members of a struct that holds the buffers, so that their texts stay as they are.
  const members = [
    ...buffers.map((buffer) => `${buffer.type}* __restrict__ ${buffer.name};`),
    ...own.map((variable) => `${variable.type} ${variable.name};`),
    ...shared.map((variable) => `${variable.type} &${variable.name};`),
  ];
  const given = [
    ...buffers.map((buffer) => `p_${buffer.name}`),
    ...own.map((variable) => `${variable.type}{}`),
    ...shared.map((variable) => `*(${variable.type}*)s_${variable.name}`),
  ];
  const cuda = `#include "wgsl.cuh"
${[...aliases, ...values, ...types, ...makers].join('\n')}
struct Kernel {
${members.join('\n')}
${text}
};
extern "C" __global__ void __launch_bounds__(${size}) ${name}(${buffers
    .map((buffer) => `${buffer.type}* __restrict__ p_${buffer.name}`)
    .join(', ')}) {
${shared.map((variable) => `__shared__ alignas(16) char s_${variable.name}[sizeof(${variable.type})];`).join('\n')}
Kernel kernel{${given.join(', ')}};
kernel.entry_();
}
`;
  return { cuda, name, threads: constantsOf(wgsl)(size) };
}

/**
 * A function that evaluates an expression by the constants that a kernel's text declares.
 *
 * @param {string} wgsl The text.
 * @returns {(expression: string) => number} It throws for a name that the text does not declare.
 */
export function constantsOf(wgsl) {
  const texts = new Map();
  for (const [, name, value] of wgsl.matchAll(/^const (\w+)(?:: u32)? = ([^;]+);/gm)) texts.set(name, value);
  const evaluate = (expression) => {
    const known = expression.replace(/\b[A-Z][A-Z0-9_]*\b/g, (name) => {
      if (!texts.has(name)) throw new Error(`the text declares no ${name}`);
      return `(${evaluate(texts.get(name))})`;
    });
    if (/^\s*\(*(true|false)\)*\s*$/.test(known)) return known.includes('true') ? 1n : 0n;
    const numbers = known.replace(/\b(\d+)u?\b/g, '$1n');
    if (!/^(?:[\d\sn()+\-*/%,]|max|min)*$/.test(numbers)) throw new Error(`${expression} is not made of whole numbers`);
    const max = (a, b) => (a > b ? a : b);
    const min = (a, b) => (a < b ? a : b);
    // BigInts divide as whole numbers do.
    return new Function('max', 'min', `return (${numbers});`)(max, min);
  };
  return (expression) => Number(evaluate(expression));
}

/** Splits a list at the commas that stand in no brackets. */
function split(list) {
  const parts = [];
  let depth = 0;
  let part = '';
  for (const letter of list) {
    if (letter === '<' || letter === '(') depth++;
    if (letter === '>' || letter === ')') depth--;
    if (letter === ',' && depth === 0) {
      parts.push(part);
      part = '';
    } else {
      part += letter;
    }
  }
  return [...parts, part].map((one) => one.trim()).filter(Boolean);
}

/** The name and the CUDA type of `name: type`. */
function named(field) {
  const [name, ...rest] = field.replace(/@builtin\(\w+\)\s*/, '').split(':');
  const type = rest.join(':').trim();
  const pointer = /^ptr<\w+,\s*(.*)>$/s.exec(type);
  return [name.trim(), pointer ? `${pointer[1]}*` : type];
}

/** `array<T, n>` as a CUDA type, whatever T is. */
function arrays(text) {
  const one = /array<([^<>]+(?:<[^<>]*>)?)\s*,\s*([^<>]+?)>(?!\()/;
  let found = text;
  for (let match = one.exec(found); match; match = one.exec(found))
    found = found.replace(match[0], () => `Array<${match[1].trim()}, (${match[2].trim()})>`);
  return found;
}

function constants(text) {
  return text
    .replace(/^const (\w+) = array<u32, (\d+)>\(([^)]*)\);/gm, '__constant__ u32 $1[$2] = {$3};')
    .replace(/^const (\w+) = (bitcast[^;]+);/gm, '#define $1 ($2)')
    .replace(
      /^const (\w+)(?:: \w+)? = ([^;]+);/gm,
      (_, name, value) => `__device__ constexpr auto ${name} = ${value.replace(/\bmax\(/g, 'larger(')};`,
    )
    .replace(/__device__ constexpr auto blocks/g, 'constexpr auto blocks')
    .replace(
      /^(\s+)const (\w+) = ([^;]+);/gm,
      (_, space, name, value) => `${space}constexpr auto ${name} = ${value.replace(/\bmax\(/g, 'larger(')};`,
    );
}

/** The builtins of the entry as variables. */
function inputs(parameters, hasLanes) {
  return split(parameters)
    .map((parameter) => {
      const [name, type] = named(parameter);
      if (type === 'Invocation')
        return (
          `Invocation ${name}; ${name}.group = vec3u(blockIdx.x, blockIdx.y, blockIdx.z); ` +
          `${name}.thread = threadIdx.x;\n` +
          (hasLanes ? `${name}.lane = threadIdx.x % 32; ${name}.subgroup_size = 32;\n` : '')
        );
      if (type === 'vec3u') return `vec3u ${name}(blockIdx.x, blockIdx.y, blockIdx.z);\n`;
      if (parameter.includes('subgroup_id')) return `u32 ${name} = threadIdx.x / 32;\n`;
      if (parameter.includes('subgroup_invocation_id')) return `u32 ${name} = threadIdx.x % 32;\n`;
      if (parameter.includes('subgroup_size')) return `constexpr u32 ${name} = 32;\n`;
      return `u32 ${name} = threadIdx.x;\n`;
    })
    .join('');
}

function withLoops(text) {
  const owned = /\bfor \((?=var (?:unit|block) = (?!0u)|; has_work|var k = 0u; k < \w*UNIT_CHUNKS)/g;
  return text.replace(owned, '_Pragma("unroll 1") for (');
}

function statements(text) {
  return text
    .replace(
      /\bfn (\w+)\(((?:[^()]|\([^()]*\))*)\)\s*(?:->\s*([^{]+?))?\s*\{/g,
      (_, name, parameters, result) =>
        `__device__ __forceinline__ ${result?.trim() ?? 'void'} ${name}(${split(parameters)
          .map((parameter) => named(parameter).reverse().join(' '))
          .join(', ')}) {`,
    )
    .replace(/\b(let|var) (\w+)\s*=/g, 'auto $2 =')
    .replace(/\bvar (\w+)\s*:\s*([^;=]+);/g, '$2 $1{};')
    .replace(/\b(?:let|var) (\w+)\s*:\s*([^;=]+)=/g, '$2 $1 =')
    .replace(/\.(xy|zw|yzw|xyz)\b/g, '.$1()')
    .replace(/\bfma\(/g, 'fma_(')
    .replace(/\bexp\(/g, 'exp_(')
    .replace(/\bclamp\(/g, 'clamp_(')
    .replace(/\bround\(/g, 'round_(')
    .replace(/\babs\(/g, 'abs_(')
    .replace(/\bloop \{/g, 'for (;;) {')
    .replace(/(\d+\.\d+(?:e-?\d+)?)(?![\d.ef])/g, '$1f')
    .replace(/\bcase (\d+)u: \{([^}]*)\}/g, 'case $1u: {$2} break;');
}

/** Constants so that none is used before it is declared. */
function inOrder(declarations) {
  const nameOf = (declaration) => /(\w+)\s*(\[\d+\])? =/.exec(declaration)[1];
  const all = new Set(declarations.map(nameOf));
  const done = new Set();
  const sorted = [];
  let waiting = declarations;
  while (waiting.length) {
    const ready = waiting.filter((declaration) =>
      (declaration.slice(declaration.indexOf('=') + 1).match(/\b[A-Z][A-Z0-9_]+\b/g) ?? []).every(
        (name) => !all.has(name) || done.has(name),
      ),
    );
    if (ready.length === 0) throw new Error(`constants that need each other: ${waiting.map(nameOf).join(', ')}`);
    for (const declaration of ready) {
      sorted.push(declaration);
      done.add(nameOf(declaration));
    }
    waiting = waiting.filter((declaration) => !done.has(nameOf(declaration)));
  }
  return sorted;
}
