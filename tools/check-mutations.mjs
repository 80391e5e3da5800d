// Proves that the tests of the core can fail: makes each known mistake in a copy of native/, builds it, and runs the
// tests with it until one fails. Ends with 1 if a mistake survives or a patch no longer applies.
// `node tools/check-mutations.mjs rope ring` tries only the mistakes whose names contain one of the words.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const copy = join(root, 'build/mutations/src');
const build = join(root, 'build/mutations/build');
const binary = join(build, 'Release/kexa.node');
const testFiles = ['core/forward', 'core/chunks', 'core/sisters', 'sessions/turns', 'generate/mtp'].map(
  (name) => `test/${name}.test.ts`,
);
const limitMs = 120_000;

const [device, rope, ffn, attention, plan, chunk, generate, slots, engine] = [
  'cpu/cpu_device.cc',
  'model/rope.cc',
  'cpu/ffn.cc',
  'cpu/attention.cc',
  'plan/plan.cc',
  'decode/chunk.cc',
  'engine/generate_job.cc',
  'cache/kv_slots.cc',
  'engine/engine.cc',
];

/** Name, file, what stands there and what a mistaken engine has instead; a list of such pairs if it takes several. */
const mutations = [
  ['RoPE on global layers', device, 'has_rope = description_.layer(layer).rope;', 'has_rope = true;'],
  [
    'interleaved RoPE',
    device,
    [
      ['a = head[i], b = head[i + half]', 'a = head[2 * i], b = head[2 * i + 1]'],
      ['    head[i] = a *', '    head[2 * i] = a *'],
      ['    head[i + half] = b *', '    head[2 * i + 1] = b *'],
    ],
  ],
  [
    'QK-norm after RoPE',
    device,
    `    normalize(head, gain, description_.norm_epsilon, head);
    if (has_rope) rotate(head, row);`,
    `    if (has_rope) rotate(head, row);
    normalize(head, gain, description_.norm_epsilon, head);`,
  ],
  ['llama3 scaling of RoPE ignored', rope, 'if (!description.rope_scaling) continue;', 'if (true) continue;'],
  ['window one too long', attention, 'query.position - window + 1)', 'query.position - window)'],
  [
    'window one too short',
    attention,
    'query.position - window + 1)',
    'std::min(query.position, query.position - window + 2))',
  ],
  [
    'norm without epsilon',
    device,
    'dot(from, from, n) / float(n) + epsilon',
    'dot(from, from, n) / float(n) + 0 * epsilon',
  ],
  [
    'branches of post-norm models not normed',
    device,
    'if (description_.is_post_norm()) normalize_rows(norm, branch_',
    'if (false) normalize_rows(norm, branch_',
  ],
  ['bias leaking into the weights', ffn, 'biased[e] = scores[e] + bias[e];', 'biased[e] = scores[e] += bias[e];'],
  [
    'bias not taken part in the choice',
    ffn,
    'biased[e] = scores[e] + bias[e];',
    'biased[e] = scores[e] + 0 * bias[e];',
  ],
  ['routed scale missing', ffn, 'moe.scale / (sum + 1e-20f) : moe.scale', '1 / (sum + 1e-20f) : 1'],
  ['weights always divided by their sum', ffn, 'moe.normalize ?', 'true ?'],
  ['shared expert scaled', ffn, 'shared.scales.push_back(1);', 'shared.scales.push_back(moe.scale);'],
  ['groups of experts not limited', ffn, 'if (moe.kept_groups < moe.groups)', 'if (false)'],
  ['SwiGLU not clamped', ffn, 'if (limit > 0)', 'if (false)'],
  ['gate clamped on both sides', ffn, 'gate = std::min(gate, limit);', 'gate = std::clamp(gate, -limit, limit);'],
  [
    'MTP halves in the wrong order',
    device,
    [
      ['weights_.mtp.embedding_norm, epsilon, pair);', 'weights_.mtp.embedding_norm, epsilon, pair + hidden);'],
      ['weights_.mtp.hidden_norm, epsilon, pair + hidden);', 'weights_.mtp.hidden_norm, epsilon, pair);'],
      [
        'read_row(weights_.embed, step_.rows[r].next, pair);',
        'read_row(weights_.embed, step_.rows[r].next, pair + hidden);',
      ],
      ['normalize(pair, weights_', 'normalize(pair + hidden, weights_'],
    ],
  ],
  [
    'MTP fed the hidden state before its norm',
    device,
    'normalize(&hidden_[size_t(r) * hidden], weights_.mtp',
    'normalize(&residual_[size_t(r) * hidden], weights_.mtp',
  ],
  [
    'MTP fed the token itself, not the next',
    chunk,
    'position + 1 < int(ids.size()) ? ids[position + 1] : 0',
    'ids[position]',
  ],
  [
    'logits in 16 bits',
    device,
    'rounded({&weights_.head}, normed_.data(), count, hidden));',
    'rounded({&weights_.head}, normed_.data(), count, hidden));\n  for (float& logit : logits_) logit = bf16_to_f32(f32_to_bf16(logit));',
  ],
  ['rings without slack for a chunk', plan, 'std::max(options.prefill_chunk, kMaxDrafts + 1) - 1', '0'],
  ['rings one row short', plan, 'kMaxDrafts + 1) - 1', 'kMaxDrafts + 1) - 2'],
  [
    'softmax not rescaled from block to block',
    attention,
    'std::exp(double(maximum[h]) - block_maximum)',
    '(start == first_key ? 0.0f : 1.0f)',
  ],
  ['going back past what rings hold', slots, 'can_go_back_to(sequence, kept) ? kept : 0', 'kept'],
  [
    'going back one token too far',
    slots,
    'sequence.written - ring > oldest_needed',
    'sequence.written - ring > oldest_needed + 1',
  ],
  [
    'prefix not compared',
    slots,
    'int(std::mismatch(ids.begin(), ids.begin() + limit, sequence.ids.begin()).first - ids.begin())',
    'int(limit)',
  ],
  ['chunks not told before they are written', chunk, 'slots.begin_write(slot, end);', ''],
  [
    'MTP cache not filled for the prompt',
    generate,
    'if (is_drafting_) {\n    flight.has_mtp',
    'if (is_drafting_ && flight.is_following) {\n    flight.has_mtp',
  ],
  [
    'rows of drafts one position too far',
    device,
    'position = int(sequence.ids.size()) - 1 + r',
    'position = int(sequence.ids.size()) - 1 + r + (r > 0)',
  ],
  [
    'every draft kept',
    device,
    'const int token = sequence.sampler.choose(logits(i), sequence.ids, sequence.prompt_size);',
    `const int right = sequence.sampler.choose(logits(i), sequence.ids, sequence.prompt_size);
    const int token = i + 1 < int(step_.logit_rows.size()) ? step_.rows[step_.logit_rows[i + 1]].token : right;`,
  ],
  ['MTP cache taken for as full as the model’s', slots, 'std::min(kept - 1, sequence.mtp_length)', 'kept'],
  ['room taken from whoever came first', engine, 'if (other->owner() && can_run(*other))', 'if (false)'],
  ['room kept for readers who have stopped', engine, 'if (other->owner() && can_run(*other))', 'if (other->owner())'],
];

const words = process.argv.slice(2);
const chosen = mutations.filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));

mkdirSync(copy, { recursive: true });
for (const file of ['CMakeLists.txt', 'package.json']) cpSync(join(root, file), join(copy, file));
if (!existsSync(join(copy, 'node_modules'))) symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
const sources = readdirSync(join(root, 'native'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(join(root, 'native').length + 1));
const originals = new Map(sources.map((file) => [file, readFileSync(join(root, 'native', file), 'utf8')]));
for (const [file, text] of originals) writeSource(file, text);

let failures = 0;
const intact = compile() ?? runTests(testFiles.slice(0, 2));
if (intact) stop(`the core as it is: ${intact}`);
console.log('| mistake | caught by | first failure |\n| --- | --- | --- |');
for (const [name, file, from, to] of chosen) {
  const patched = patch(originals.get(file), typeof from === 'string' ? [[from, to]] : from);
  const outcome = patched === undefined ? undefined : tryOut(file, patched);
  const caught = patched === undefined ? 'the patch does not apply' : (outcome ?? 'SURVIVED');
  if (outcome === undefined) failures++;
  console.log(`| ${name} | ${caught} |${outcome === undefined ? ' |' : ''}`);
}
console.log(`\n${chosen.length} mistakes, ${failures} not caught`);
process.exit(failures ? 1 : 0);

function patch(text, replacements) {
  let patched = text;
  for (const [from, to] of replacements) {
    if (patched.split(from).length !== 2) return undefined;
    patched = patched.replace(from, () => to);
  }
  return patched;
}

/** Which test caught it and how, or undefined. */
function tryOut(file, patched) {
  writeSource(file, patched);
  const problem = compile();
  if (problem) stop(`${file}: ${problem}`);
  // The tests of sessions first where only they can tell.
  const caught = runTests(file === slots || file === engine ? testFiles.toReversed() : testFiles);
  writeSource(file, originals.get(file));
  return caught;
}

/** Only if it is another text, so that only what has changed is compiled. */
function writeSource(file, text) {
  const path = join(copy, 'native', file);
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

function compile() {
  const args = ['node_modules/cmake-js/bin/cmake-js', 'compile', '-d', copy, '-O', build, '--log-level', 'error'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? undefined : `does not compile\n${stdout}${stderr}`;
}

/** The first failure, as two columns of a table. */
function runTests(files) {
  for (const file of files) {
    const args = ['--import', 'tsx', 'node_modules/tape/bin/tape', file];
    const env = { ...process.env, KEXA_BINARY: binary };
    const { status, stdout, signal } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      env,
      timeout: limitMs,
      killSignal: 'SIGKILL',
      maxBuffer: 2 ** 28,
    });
    if (status === 0) continue;
    const lines = stdout.split('\n');
    const at = lines.findIndex((line) => line.startsWith('not ok'));
    const before = lines.slice(0, at < 0 ? lines.length : at);
    const title = before.findLast((line) => line.startsWith('# '))?.slice(2) ?? 'no test had begun';
    const what = at >= 0 ? lines[at].replace(/^not ok \d+ /, '') : signal ? 'no end of it' : `exit status ${status}`;
    return `${file.slice(5, 7)} | ${shortened(title)}: ${shortened(what)}`;
  }
  return undefined;
}

function shortened(text) {
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}

function stop(problem) {
  console.error(problem);
  process.exit(1);
}
