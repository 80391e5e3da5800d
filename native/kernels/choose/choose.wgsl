// choose: chooses for a group the token after its first logit row, then after each next one as long as that row's token,
// a draft, is the token just chosen. The results (length, token counts, the next step's first token) stay on the GPU,
// so that the next step can run before anybody has read the choice.
// With IS_DRAFT it chooses one more draft for a group, from its logit row of the MTP block.
// dispatch   the step's first groups, a workgroup each
// logits     [logit rows, VOCAB]
// sampling   [slots, SAMPLING_WORDS], made by sampling_words() of choose.cc
// bias       [slots, VOCAB], read if the slot has one; the lowest f32 bans a token
// masks      [slots, then masks of groups; MASK_WORDS], described in choose.h
// step       step state: gives groups and logit rows; gets the rows' next tokens, then the rows of the MTP block's next
//            pass and its logit rows
// sequences  [slots, SEQUENCE_WORDS] in and out: Choosing::Record; then [slots, MOST_CHOSEN, CHOICE_WORDS] out: the
//            log-probability of each chosen token, for groups that want it
// marks      [slots, VOCAB] in and out, only with penalties: how often a token is in the window of the repeat penalty,
//            and in the answer
// history    [slots, CONTEXT] in and out, only with penalties: the sequence's tokens
// matches    Sampler::choose: the same token except for near ties (sums of top-p and logarithms differ by 1e-7)
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> sampling: array<u32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> masks: array<u32>;
@group(0) @binding(4) var<storage, read_write> step: array<u32>;
@group(0) @binding(5) var<storage, read_write> sequences: array<u32>;
@group(0) @binding(6) var<storage, read_write> marks: array<vec2u>;
@group(0) @binding(7) var<storage, read_write> history: array<u32>;

const NONE = 0xffffffffu;
const BINS = 256u;
const ALL_BANNED = 0xfffffffeu;
const BANNED = bitcast<f32>(0xff7fffffu);  // the lowest f32; no allowed token scores as low

var<private> slot: u32;
var<private> row_at: u32;  // where the row's logits begin
var<private> mask_at: u32;  // where the row's mask begins; NONE: it has none
var<private> end_mask_at: u32;  // the same for the end tokens, which are banned until the answer is long enough
var<private> inverse_temperature: f32;
var<private> has_bias: bool;
var<private> has_penalties: bool;
var<private> repeat_penalty: f32;
var<private> presence_penalty: f32;
var<private> frequency_penalty: f32;
var<private> maximum: f32;

var<workgroup> values: array<f32, THREADS>;
var<workgroup> ids: array<u32, THREADS>;
var<workgroup> not_finite: atomic<u32>;  // the lowest token whose logit is NaN or infinite
// Sums as fixed-point numbers of three words (1, 2^-14, 2^-28). They are exact, so the order of adding does not matter.
var<workgroup> units: array<atomic<u32>, BINS>;
var<workgroup> middle: array<atomic<u32>, BINS>;
var<workgroup> fine: array<atomic<u32>, BINS>;
var<workgroup> tokens_in_bin: array<atomic<u32>, BINS>;
var<workgroup> found_bin: u32;
var<workgroup> found_count: u32;
var<workgroup> found_before: vec3u;
var<workgroup> found_target: f32;
var<workgroup> next_row: u32;
var<workgroup> shared_slot: u32;
var<workgroup> shared_choices: u32;
var<workgroup> probabilities: array<atomic<u32>, 4>;

fn sampling_word(of_slot: u32, i: u32) -> u32 { return sampling[of_slot * SAMPLING_WORDS + i]; }
fn sampling_number(of_slot: u32, i: u32) -> f32 { return bitcast<f32>(sampling_word(of_slot, i)); }

// The value, or the finite one nearest to it that is not BANNED. Tests bits, because a compiler may assume that no
// float is infinite.
fn saturated(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) < 0x7f7fffffu) { return value; }
  return bitcast<f32>(select(0x7f7fffffu, 0xff7ffffeu, bits >= 0x80000000u));
}

fn is_masked(token: u32, at: u32) -> bool {
  return at != NONE && ((masks[at + token / 32u] >> (token % 32u)) & 1u) == 0u;
}

// Logit plus bias, with penalties. Always finite.
fn adjusted(token: u32) -> f32 {
  if (is_masked(token, mask_at) || is_masked(token, end_mask_at)) { return BANNED; }
  var value = saturated(logits[row_at + token]);
  if (has_bias) {
    let by = bias[slot * VOCAB + token];
    if (by <= BANNED) { return BANNED; }
    value = saturated(value + by);
  }
  if (has_penalties) {
    let mark = marks[slot * VOCAB + token];
    if (mark.x > 0u) { value = saturated(value * select(repeat_penalty, 1.0 / repeat_penalty, value > 0.0)); }
    if (mark.y > 0u) { value = saturated(value - (frequency_penalty * f32(mark.y) + presence_penalty)); }
  }
  return value;
}

// The distance from the best value divided by the temperature: 0 or less.
fn scaled(value: f32) -> f32 { return saturated((value - maximum) * inverse_temperature); }

// Finds the best (value, id) of all threads. The lowest id wins ties.
fn best_of_all(thread: u32, value: f32, id: u32) {
  values[thread] = value;
  ids[thread] = id;
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) {
      let other = values[thread + width];
      if (other > values[thread] || (other == values[thread] && ids[thread + width] < ids[thread])) {
        values[thread] = other;
        ids[thread] = ids[thread + width];
      }
    }
  }
  workgroupBarrier();
}

// A cut through the tokens in their order (likeliest first, the lowest id first among equals): the last token kept.
struct Cut {
  key: u32,
  id: u32,
}

// Grows with the distance from the best token.
fn key_of(score: f32) -> u32 { return bitcast<u32>(abs(score)); }
// The same order, but coarser, and spread over the bins so evenly that few threads add to one bin at once.
fn coarse_of(score: f32) -> u32 { return min((bitcast<u32>(abs(score) + 1.0) - 0x3f800000u) >> 18u, BINS - 1u); }

fn is_kept(cut: Cut, key: u32, id: u32) -> bool { return key < cut.key || (key == cut.key && id <= cut.id); }

// The cut at which the kept tokens within `outer` first reach `wanted` tokens, or with `is_mass` that share of their
// probability. It is found digit by digit: the coarse key, four digits of the exact key, three of the id among equal
// keys.
fn find_cut(thread: u32, outer: Cut, wanted: f32, is_mass: bool) -> Cut {
  var coarse = 0u;
  var key = 0u;
  var id = 0u;
  var before = vec3u();
  var goal = wanted;
  for (var level = 0u; level < 8u; level++) {
    for (var bin = thread; bin < BINS; bin += THREADS) {
      atomicStore(&units[bin], 0u);
      atomicStore(&middle[bin], 0u);
      atomicStore(&fine[bin], 0u);
      atomicStore(&tokens_in_bin[bin], 0u);
    }
    workgroupBarrier();
    for (var token = thread; token < VOCAB; token += THREADS) {
      let value = adjusted(token);
      if (value == BANNED) { continue; }
      let score = scaled(value);
      let own_key = key_of(score);
      if (!is_kept(outer, own_key, token)) { continue; }
      let own_coarse = coarse_of(score);
      var bin = own_coarse;
      if (level > 0u) {
        if (own_coarse != coarse) { continue; }
        if (level < 5u) {
          let shift = 32u - 8u * level;
          if (level > 1u && (own_key >> (shift + 8u)) != key) { continue; }
          bin = (own_key >> shift) & 255u;
        } else {
          if (own_key != key) { continue; }
          let shift = 16u - 8u * (level - 5u);
          if (level > 5u && (token >> (shift + 8u)) != id) { continue; }
          bin = (token >> shift) & 255u;
        }
      }
      atomicAdd(&tokens_in_bin[bin], 1u);
      if (is_mass) {
        let mass = exp(score) * 16384.0;
        let rest = fract(mass) * 16384.0;
        atomicAdd(&units[bin], u32(mass));
        atomicAdd(&middle[bin], u32(rest));
        atomicAdd(&fine[bin], u32(fract(rest) * 16384.0));
      } else {
        atomicAdd(&units[bin], 1u);
      }
    }
    workgroupBarrier();
    if (thread == 0u) {
      if (level == 0u && is_mass) {
        var all = vec3u();
        for (var bin = 0u; bin < BINS; bin++) { all += sums_of(bin); }
        goal = wanted * amount(all, true);
      }
      var reached = before;
      for (var bin = 0u; bin < BINS; bin++) {
        let count = atomicLoad(&tokens_in_bin[bin]);
        if (count == 0u) { continue; }
        // Set in every round, so that the last bin with tokens is found even if rounding keeps the sum below the goal.
        found_bin = bin;
        found_count = count;
        found_before = reached;
        reached += sums_of(bin);
        if (amount(reached, is_mass) >= goal) { break; }
      }
      found_target = goal;
    }
    let bin = workgroupUniformLoad(&found_bin);
    let count = workgroupUniformLoad(&found_count);
    before = workgroupUniformLoad(&found_before);
    goal = workgroupUniformLoad(&found_target);
    if (level == 0u) {
      coarse = bin;
    } else if (level < 5u) {
      key = (key << 8u) | bin;
    } else {
      id = (id << 8u) | bin;
    }
    // Only one token within `outer` has this key, so its id need not be found.
    if (level == 4u && count == 1u) { return Cut(key, select(NONE, outer.id, key == outer.key)); }
  }
  return Cut(key, id);
}

fn sums_of(bin: u32) -> vec3u { return vec3u(atomicLoad(&units[bin]), atomicLoad(&middle[bin]), atomicLoad(&fine[bin])); }
fn amount(sums: vec3u, is_mass: bool) -> f32 {
  if (!is_mass) { return f32(sums.x); }
  return f32(sums.x) + (f32(sums.y) + f32(sums.z) / 16384.0) / 16384.0;
}

// WGSL's log() may err by 2^-21 near 1, where the noise needs it exact. So ln(m 2^e) = e ln 2 + 2 atanh((m - 1) / (m +
// 1)).
fn accurate_log(x: f32) -> f32 {
  let shifted = bitcast<u32>(x) - 0x3f3504f3u;  // m is in [sqrt(1/2), sqrt(2))
  let exponent = f32(bitcast<i32>(shifted) >> 23u);
  let f = bitcast<f32>((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0;
  let s = f / (2.0 + f);
  let z = s * s;
  let series = z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z * (1.0 / 9.0 + z / 11.0))));
  return exponent * 0.693359375 + (exponent * -2.12194440e-4 + 2.0 * (s + s * series));
}

fn multiply_wide(a: u32, b: u32) -> vec2u {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let left = (a >> 16u) * (b & 0xffffu);
  let right = (a & 0xffffu) * (b >> 16u);
  let carry = ((low >> 16u) + (left & 0xffffu) + (right & 0xffffu)) >> 16u;
  return vec2u(a * b, (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u) + carry);
}

// Standard Gumbel noise by Philox4x32-10 (Salmon and others, 2011), the same as in native/cpu/random.h.
fn gumbel(token: u32, position: u32) -> f32 {
  var counter = vec4u(token / 4u, position, 0u, 0u);
  var key = vec2u(sampling_word(slot, SAMPLING_SEED_LOW), sampling_word(slot, SAMPLING_SEED_HIGH));
  for (var round = 0u; round < 10u; round++) {
    let a = multiply_wide(0xD2511F53u, counter.x);
    let b = multiply_wide(0xCD9E8D57u, counter.z);
    counter = vec4u(b.y ^ counter.y ^ key.x, b.x, a.y ^ counter.w ^ key.y, a.x);
    key += vec2u(0x9E3779B9u, 0xBB67AE85u);
  }
  let uniform_value = (f32(counter[token % 4u] >> 9u) + 0.5) * 0x1p-23;
  return -accurate_log(-accurate_log(uniform_value));
}

// NONE if every token is banned. `own_slot` equals `slot`; an argument is known to be the same in every thread, a
// private variable is not.
fn draw(thread: u32, own_slot: u32, position: u32) -> u32 {
  var cut = Cut(NONE, NONE);
  let top_k = sampling_word(own_slot, SAMPLING_TOP_K);
  if (top_k > 0u && top_k < VOCAB) { cut = find_cut(thread, cut, f32(top_k), false); }
  let top_p = sampling_number(own_slot, SAMPLING_TOP_P);
  if (top_p < 1.0) { cut = find_cut(thread, cut, top_p, true); }
  let min_p = sampling_number(own_slot, SAMPLING_MIN_P);
  var best = BANNED;
  var best_id = NONE;
  for (var token = thread; token < VOCAB; token += THREADS) {
    let value = adjusted(token);
    if (value == BANNED) { continue; }
    let score = scaled(value);
    if (!is_kept(cut, key_of(score), token) || exp(score) < min_p) { continue; }
    let noisy = score + gumbel(token, position);
    if (noisy > best) {
      best = noisy;
      best_id = token;
    }
  }
  best_of_all(thread, best, best_id);
  return ids[0];
}

// The reason why the row's token means nothing. NONE if the token is valid.
fn problem_of_row() -> u32 {
  let token = atomicLoad(&not_finite);
  return select(token, ALL_BANNED, token == NONE && maximum == BANNED);
}

// Adds the token after the group's logit row `i` to the sequence. Returns the next logit row to choose from, or NONE.
fn commit(group: u32, i: u32, token: u32, state: u32, position: u32) -> u32 {
  let logit = STEP_LOGIT_ROWS + step[step_group(group) + GROUP_FIRST_LOGIT] + i;
  let row = step[logit];
  step[step_row(row) + ROW_NEXT] = token;
  let chosen = sequences[state + SEQUENCE_CHOSEN];
  sequences[state + SEQUENCE_TOKENS + chosen] = token;
  sequences[state + SEQUENCE_CHOSEN] = chosen + 1u;
  sequences[state + SEQUENCE_LENGTH] = position + 1u;
  if (has_penalties) {
    marks[slot * VOCAB + token] += vec2u(1u);
    history[slot * CONTEXT + position] = token;
    let window = sampling_word(slot, SAMPLING_REPEAT_WINDOW);
    if (position >= window) { marks[slot * VOCAB + history[slot * CONTEXT + position - window]].x -= 1u; }
  }
  let problem = problem_of_row();
  sequences[state + SEQUENCE_PROBLEM] = problem;
  if (problem == NONE && i + 1u < step[step_group(group) + GROUP_LOGITS]) {
    if (step[step_row(step[logit + 1u]) + ROW_TOKEN] == token) { return i + 1u; }
  }
  step[STEP_DRAFT_ROWS + group] = row;
  return NONE;
}

// Adds a draft, the sequence's `drafts`-th, and makes the row by which the MTP block drafts the next one.
fn commit_draft(group: u32, token: u32, state: u32, drafts: u32) {
  sequences[state + SEQUENCE_DRAFT_TOKENS + drafts] = token;
  sequences[state + SEQUENCE_DRAFTS] = drafts + 1u;
  let problem = problem_of_row();
  if (problem != NONE) { sequences[state + SEQUENCE_PROBLEM] = problem; }
  let at = step_row(group);
  step[at + ROW_TOKEN] = token;
  step[at + ROW_SLOT] = slot;
  step[at + ROW_POSITION] = sequences[state + SEQUENCE_LENGTH] + drafts - 1u;
  step[at + ROW_NEXT] = token;
}

// Sets the counts of the MTP block's next pass. It has a logit row for each group that wants more than `made` drafts.
// The other groups' workgroups do not read these words.
fn set_pass(made: u32) {
  var groups = 0u;
  while (groups < step[STEP_GROUP_COUNT] && step[step_group(groups) + GROUP_DRAFTS] > made) { groups++; }
  step[STEP_LOGIT_COUNT] = groups;
  if (IS_DRAFT) {
    step[STEP_ROW_COUNT] = groups;
    step[STEP_GATHERED] = STEP_IN_ORDER;
  } else {
    step[STEP_ROW_COUNT] = step[STEP_MTP_ROWS];
    step[STEP_GATHERED] = STEP_DRAFT_ROWS;
  }
}

// e^x for an x of 0 or less, to 2^-23 of itself. WGSL's exp() may err by more.
fn accurate_exp(x: f32) -> f32 {
  if (x < -40.0) { return 0.0; }
  let power = round(x * 1.44269504);
  let r = (x - power * 0.693359375) - power * -2.12194440e-4;
  var series = 1.9875691500e-4 * r + 1.3981999507e-3;
  series = series * r + 8.3334519073e-3;
  series = series * r + 4.1665795894e-2;
  series = series * r + 1.6666665459e-1;
  series = series * r + 5.0000001201e-1;
  return bitcast<f32>(bitcast<u32>(series * (r * r) + r + 1.0) + (u32(i32(power)) << 23u));
}

// Whether a token comes after another one in their order: likelier ones first, the lowest id first among equals.
fn comes_after(value: f32, id: u32, other: f32, other_id: u32) -> bool {
  return value < other || (value == other && id > other_id);
}

// Writes what the log-probability of a chosen token is made of, by the logits alone: the sum of e^(logit - best) in
// fixed point, which is exact and so the same in any order, the best logit, the token's, and the `alternatives` best
// tokens. `alternatives` is the same in all threads.
fn tell_choice(thread: u32, at: u32, token: u32, alternatives: u32) {
  var best = 0.0;
  var best_id = NONE;
  for (var other = thread; other < VOCAB; other += THREADS) {
    let value = logits[row_at + other];
    if (best_id == NONE || value > best) {
      best = value;
      best_id = other;
    }
  }
  if (best_id == NONE) { best = BANNED; }
  best_of_all(thread, best, best_id);
  let top = values[0];
  if (thread < 4u) { atomicStore(&probabilities[thread], 0u); }
  workgroupBarrier();
  var sums = vec4u();
  for (var other = thread; other < VOCAB; other += THREADS) {
    var rest = accurate_exp(logits[row_at + other] - top) * 4096.0;
    for (var word = 0u; word < 4u; word++) {
      sums[word] += u32(rest);
      rest = fract(rest) * 4096.0;
    }
  }
  for (var word = 0u; word < 4u; word++) { atomicAdd(&probabilities[word], sums[word]); }
  workgroupBarrier();
  if (thread == 0u) {
    for (var word = 0u; word < 4u; word++) { sequences[at + CHOICE_SUM + word] = atomicLoad(&probabilities[word]); }
    sequences[at + CHOICE_BEST] = bitcast<u32>(top);
    sequences[at + CHOICE_OWN] = bitcast<u32>(logits[row_at + token]);
  }
  for (var i = 0u; i < alternatives; i++) {
    best_of_all(thread, best, best_id);
    let found = values[0];
    let found_id = ids[0];
    workgroupBarrier();
    if (thread == 0u) {
      sequences[at + CHOICE_TOP + 2u * i] = found_id;
      sequences[at + CHOICE_TOP + 2u * i + 1u] = bitcast<u32>(found);
    }
    // The thread whose token it was has its next one in the following round.
    if (found_id == best_id) {
      best = BANNED;
      best_id = NONE;
      for (var other = thread; other < VOCAB; other += THREADS) {
        let value = logits[row_at + other];
        let is_left = comes_after(value, other, found, found_id);
        if (is_left && (best_id == NONE || comes_after(best, best_id, value, other))) {
          best = value;
          best_id = other;
        }
      }
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn choose(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let group = workgroup.x;
  if (thread == 0u) {
    shared_slot = step[step_group(group) + GROUP_SLOT];
    shared_choices = step[step_group(group) + GROUP_CHOICES];
  }
  let own_slot = workgroupUniformLoad(&shared_slot);
  let choices = workgroupUniformLoad(&shared_choices);
  slot = own_slot;
  let state = slot * SEQUENCE_WORDS;
  let is_greedy = sampling_word(own_slot, SAMPLING_IS_GREEDY) != 0u;
  inverse_temperature = sampling_number(own_slot, SAMPLING_INVERSE_TEMPERATURE);
  has_bias = sampling_word(own_slot, SAMPLING_HAS_BIAS) != 0u;
  has_penalties = sampling_word(own_slot, SAMPLING_HAS_PENALTIES) != 0u;
  repeat_penalty = sampling_number(own_slot, SAMPLING_REPEAT_PENALTY);
  presence_penalty = sampling_number(own_slot, SAMPLING_PRESENCE_PENALTY);
  frequency_penalty = sampling_number(own_slot, SAMPLING_FREQUENCY_PENALTY);
  if (thread == 0u) { atomicStore(&not_finite, NONE); }
  if (!IS_DRAFT && thread == 0u) {
    sequences[state + SEQUENCE_CHOSEN] = 0u;
    sequences[state + SEQUENCE_DRAFTS] = 0u;
  }
  workgroupBarrier();
  let drafts = sequences[state + SEQUENCE_DRAFTS];
  let first_logit = step[step_group(group) + GROUP_FIRST_LOGIT];
  let first_mask = select(step[step_group(group) + GROUP_MASK], 0u, IS_DRAFT);
  var i = 0u;
  loop {
    row_at = select(first_logit + i, group, IS_DRAFT) * VOCAB;
    let position = sequences[state + SEQUENCE_LENGTH] + select(0u, drafts, IS_DRAFT);
    mask_at = select(NONE, (first_mask + i) * MASK_WORDS, first_mask > 0u);
    end_mask_at = select(NONE, slot * MASK_WORDS, position < sampling_word(own_slot, SAMPLING_END_POSITION));
    var best = BANNED;
    var best_id = NONE;
    for (var token = thread; token < VOCAB; token += THREADS) {
      if ((bitcast<u32>(logits[row_at + token]) & 0x7fffffffu) >= 0x7f800000u) { atomicMin(&not_finite, token); }
      let value = adjusted(token);
      if (value > best) {
        best = value;
        best_id = token;
      }
    }
    best_of_all(thread, best, best_id);
    maximum = values[0];
    var token = ids[0];
    workgroupBarrier();
    if (!is_greedy) { token = draw(thread, own_slot, position); }
    // A row with a problem gives a valid id too, because the steps begun after this one must not read past their
    // buffers.
    token = min(token, VOCAB - 1u);
    if (!IS_DRAFT && choices > 0u) {
      let chosen = min(i, MOST_CHOSEN - 1u);
      tell_choice(thread, CHOICES_AT + (slot * MOST_CHOSEN + chosen) * CHOICE_WORDS, token, choices - 1u);
    }
    if (thread == 0u) {
      if (IS_DRAFT) {
        commit_draft(group, token, state, drafts);
        next_row = NONE;
      } else {
        next_row = commit(group, i, token, state, position);
      }
      if (group == 0u && next_row == NONE) { set_pass(select(0u, drafts + 1u, IS_DRAFT)); }
    }
    storageBarrier();
    i = workgroupUniformLoad(&next_row);
    if (i == NONE) { break; }
  }
}
