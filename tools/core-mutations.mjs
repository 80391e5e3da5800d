// The known mistakes of the core, which the CPU's tests must find. check-mutations.mjs makes them.
const [device, rope, ffn, attention, plan, chunk, generate, slots, engine, packed, openPacked, planner, admission] = [
  'cpu/cpu_device.cc',
  'model/rope.cc',
  'cpu/ffn.cc',
  'cpu/attention.cc',
  'plan/plan.cc',
  'decode/chunk.cc',
  'engine/generate_job.cc',
  'cache/kv_slots.cc',
  'engine/engine.cc',
  'quant/packed.cc',
  'model/open_packed.cc',
  'decode/step_plan.cc',
  'engine/admission.cc',
];

/** Name, file, what stands there and what a mistaken engine has instead; a list of such pairs if it takes several. */
export const coreMutations = [
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
    `    if (description_.qk_norm) normalize(head, gain, description_.norm_epsilon, head);
    if (has_rope) rotate(head, row);`,
    `    if (has_rope) rotate(head, row);
    if (description_.qk_norm) normalize(head, gain, description_.norm_epsilon, head);`,
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
  ['packed: outputs of AutoAWQ in order', packed, '{0, 4, 1, 5, 2, 6, 3, 7}', '{0, 1, 2, 3, 4, 5, 6, 7}'],
  ['packed: zeros of format gptq as they are stored', packed, 'return found + 1;', 'return found;'],
  ['packed: zeros along the input', packed, 'at / codes * matrix_.groups() + group', 'at / codes + group'],
  ['packed: columns taken to be in order', packed, 'matrix.group_of.empty() ?', 'true ?'],
  [
    'packed: halves of 32 codes turned',
    packed,
    'std::byte((early & 15) | late << 4)',
    'std::byte((late & 15) | early << 4)',
  ],
  ['packed: a divisor as a factor', openPacked, 'is_divisor ? 1 / stored : stored', 'is_divisor ? stored : stored'],
  ['packed: the first expert of a stack for all', packed, 'start = matrix.first_row + first', 'start = first'],
  [
    'planner: the oldest as likely left out as others',
    planner,
    'std::stable_sort(order.begin() + 1, order.end(),',
    'std::stable_sort(order.begin(), order.end(),',
  ],
  [
    'planner: the same answers left out again and again',
    planner,
    'sequences[a].last_step < sequences[b].last_step',
    'sequences[a].last_step > sequences[b].last_step',
  ],
  ['planner: prompts of any length beside answers', planner, 'if (is_waited_for) rows =', 'if (false) rows ='],
  [
    'planner: all rows to the shortest prompt',
    planner,
    'give(order.front(), (most_rows + 1) / 2);',
    'give(order.front(), 0);',
  ],
  ['planner: answers take the rows of prompts', planner, 'budget.most_rows - kept)', 'budget.most_rows)'],
  ['admission: the oldest is parked', admission, '&& &claim != leader(claims)', '&& true'],
  [
    'admission: parked without end',
    admission,
    [
      ['(!is_final(claim) && ', '('],
      [
        'if (claim.state != Claim::State::kParked || claim.times_parked + 1 < kMostParks) return false;',
        'return false;',
      ],
    ],
  ],
  [
    'admission: all who wait overtake one another',
    admission,
    'if (!first || !fits(claims, *first, room)) return std::nullopt;',
    `for (const Claim& claim : claims)
    if (!is_running(claim) && !claim.is_stalled && fits(claims, claim, room)) return claim.id;
  if (!first || !fits(claims, *first, room)) return std::nullopt;`,
  ],
  ['admission: the later comes first', admission, 'a->arrival < b->arrival', 'a->arrival > b->arrival'],
];
