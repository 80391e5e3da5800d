// Counts that many parts of the core agree on. lib/limits.ts has those that lib needs too; a test compares them.
#pragma once

#include <cstdint>

namespace kexa {

// PlanOptions::slots where the caller does not say.
constexpr int kDefaultSlots = 4;

// Rows of the global layers' cache in a page.
constexpr int kPageRows = 64;

// The most drafts in a step. Rings have room for the rows of rejected drafts.
constexpr int kMaxDrafts = 8;

// The most rows of an answer that one step computes again. A measurement of as many rows, or fewer, is of the kernels
// of answers, one of more rows is of the kernels of prompts.
constexpr int kSmallRows = 16;

// The most alternatives of a chosen token whose log-probabilities are told.
constexpr int kMostAlternatives = 20;

// Words of a set of tokens, which has a bit for each token: token 0 is the lowest bit of word 0.
constexpr int mask_words(int vocab) { return (vocab + 31) / 32; }

// The most rows of a step of answers, unless there are more slots.
constexpr int kMostDecodeRows = 72;

// A step of a prompt has at most as many rows as make this many pairs of a row and a token before it, but at least
// kLeastChunk rows: 1,024 rows after 65,536 tokens, 256 after 262,144. A step must not take too long, because a device
// that does not answer in time counts as lost.
constexpr int64_t kMostPairs = 1 << 26;
constexpr int kLeastChunk = 128;

}  // namespace kexa
