#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/error.h"
#include "checks/device_probe.h"

namespace kexa {
namespace {

constexpr int kPromptTokens = 20;
constexpr int kMostDrafts = 3;

std::string message_of(const std::exception_ptr& problem) {
  if (!problem) return "";
  try {
    std::rethrow_exception(problem);
  } catch (const Error& error) {
    return std::string(error.code) + ": " + error.what();
  }
}

}  // namespace

// Groups of all slots, step by step, on both devices.
struct DeviceProbe::Crowd {
  DeviceProbe& probe;
  std::mt19937 random;
  CpuDevice& cpu = probe.cpu_;
  GpuDevice& gpu = probe.gpu_;
  int vocab = probe.description_.vocab_size, hidden = probe.description_.hidden_size;
  KvSlots slots{probe.description_, probe.plan_};
  CrowdResult result{};

  // The state of a slot that its next group continues.
  struct Member {
    bool is_new = true, has_chosen = false, has_penalties = false;
    int length = 0;  // tokens of its sequence
    std::vector<int> drafts{};
  };
  std::vector<Member> members = std::vector<Member>(size_t(probe.plan_.kv.slots));

  int below(int end) { return int(random() % uint32_t(end)); }
  bool is_chance(double chance) { return std::uniform_real_distribution<>()(random) < chance; }
  std::vector<float> normals(size_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  }
  void expect(bool is_alike, const std::string& what) {
    if (!is_alike) result.differences.push_back("step " + std::to_string(result.steps) + ", " + what);
  }
  template <typename Op>
  void on_both(const Op& op) {
    op(static_cast<Device&>(cpu));
    op(static_cast<Device&>(gpu));
  }

  void give_hidden(int rows) {
    const std::vector<float> values = normals(size_t(rows) * hidden);
    std::copy(values.begin(), values.end(), cpu.hidden_.begin());
    const size_t stride = size_t(padded(hidden));
    std::vector<float> image(rows * stride);
    for (int r = 0; r < rows; ++r) std::copy_n(&values[size_t(r) * hidden], hidden, &image[r * stride]);
    gpu.gpu_->submit();
    gpu.gpu_->write(gpu.activations_.hidden, 0, std::as_bytes(std::span(image)));
    gpu.hidden_copy_.clear();
  }
  void give_logits(const std::vector<float>& logits) {
    std::copy(logits.begin(), logits.end(), cpu.logits_.begin());
    gpu.gpu_->submit();
    gpu.gpu_->write(gpu.activations_.logits, 0, std::as_bytes(std::span(logits)));
  }
  void compare_rows(const std::string& when) {
    const std::vector<Row> wanted = cpu.rows(), found = gpu.rows();
    bool is_alike = wanted.size() == found.size();
    for (size_t i = 0; is_alike && i < wanted.size(); ++i)
      is_alike = wanted[i].token == found[i].token && wanted[i].slot == found[i].slot &&
                 wanted[i].position == found[i].position;
    expect(is_alike, "rows " + when);
  }
  // Compares the input of the MTP block, which tells the hidden state and the next token of each row.
  void compare_draft_input() {
    on_both([](Device& device) { device.draft_input(); });
    const auto wanted = cpu.residual(), found = gpu.residual();
    float most = 0, largest = 1e-9f;
    for (size_t i = 0; i < wanted.size(); ++i) {
      most = std::max(most, std::abs(found[i] - wanted[i]));
      largest = std::max(largest, std::abs(wanted[i]));
    }
    expect(found.size() == wanted.size() && most <= 1e-5f * largest, "input of the MTP block");
  }

  SamplingParams make_params(Member& member) {
    SamplingParams params;
    params.temperature = is_chance(0.3) ? 0 : 0.5f + float(below(4)) / 2, params.seed = random();
    if (is_chance(0.3)) params.top_k = 1 + below(30);
    if (is_chance(0.3)) params.top_p = 0.5f + float(below(5)) / 10;
    if (is_chance(0.2)) params.min_p = 0.05f;
    if (is_chance(0.3))
      for (int i = 0; i < 3; ++i) params.logit_bias.push_back({below(vocab), is_chance(0.5) ? -INFINITY : 2.0f});
    if (is_chance(0.4)) {
      params.min_tokens = 1 + below(12);
      for (int i = 0; i < vocab; i += 2) params.end_tokens.push_back(i);
    }
    member.has_penalties = is_chance(0.3);
    if (member.has_penalties) {
      params.repeat_penalty = 1.3f, params.repeat_last_n = is_chance(0.5) ? 5 : -1;
      params.presence_penalty = 0.4f, params.frequency_penalty = 0.2f;
    }
    return params;
  }

  void begin_choosing(int slot) {
    Member& member = members[slot];
    const SamplingParams params = make_params(member);
    std::vector<int> ids(kPromptTokens + size_t(below(4)));
    for (int& id : ids) id = below(vocab);
    on_both([&](Device& device) { device.begin_choosing(slot, params, ids, kPromptTokens); });
    member = {.is_new = false, .has_penalties = member.has_penalties, .length = int(ids.size())};
  }

  // A step of `count` groups, in slots of any order.
  Step make_step(int count) {
    std::vector<int> order(static_cast<size_t>(probe.plan_.kv.slots));
    for (int slot = 0; slot < probe.plan_.kv.slots; ++slot) order[slot] = slot;
    std::shuffle(order.begin(), order.end(), random);
    order.resize(size_t(count));
    std::vector<Group> groups;
    for (int slot : order) {
      Member& member = members[slot];
      if (member.is_new) begin_choosing(slot);
      const bool follows = member.has_chosen && is_chance(0.7);
      const bool chooses = follows || is_chance(0.8);
      groups.push_back({.slot = slot,
                        .rows = follows ? 1 + int(member.drafts.size()) : 1 + below(4),
                        .is_following = follows,
                        .chooses = chooses,
                        .drafts = chooses && probe.description_.mtp
                                      ? std::min(below(kMostDrafts + 1), member.has_penalties ? 1 : kMostDrafts)
                                      : 0,
                        .wants_logits = chooses && is_chance(0.3),
                        .alternatives = chooses && is_chance(0.4) ? below(kMostAlternatives + 1) : -1,
                        .masks = nullptr});
    }
    std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.drafts > b.drafts; });
    Step step;
    step.mtp_rows = 0;
    for (Group& group : groups) {
      group.first_row = int(step.rows.size());
      const bool has_all_logits = group.is_following || (group.chooses && is_chance(0.5));
      for (int r = 0; r < group.rows; ++r) {
        if (has_all_logits || (group.chooses && r + 1 == group.rows)) step.logit_rows.push_back(int(step.rows.size()));
        // The row of the sequence's last token is the first that chooses.
        const int last = has_all_logits ? 0 : group.rows - 1;
        step.rows.push_back(
            {.token = below(vocab), .slot = group.slot, .position = members[group.slot].length - 1 - last + r});
      }
      if (group.drafts || (step.mtp_rows == group.first_row && is_chance(0.3))) step.mtp_rows = int(step.rows.size());
      if (group.chooses && group.drafts == 0 && is_chance(0.4))
        give_masks(group, has_all_logits ? group.rows : 1, step.mtp_rows);
      result.following += group.is_following, result.masked += group.masks != nullptr;
    }
    step.groups = groups;
    step.is_prompt = int(step.rows.size()) > probe.plan_.options.decode_rows();
    return step;
  }

  // A row without a valid choice has no next token for the MTP block, and the devices take different ones.
  void give_masks(Group& group, int rows, int mtp_rows) {
    auto masks = std::make_shared<std::vector<uint32_t>>(size_t(rows) * size_t(mask_words(vocab)));
    const bool is_empty = group.first_row >= mtp_rows && is_chance(0.3);
    if (!is_empty)
      for (uint32_t& word : *masks) word = uint32_t(random()) & uint32_t(random());
    group.masks = std::move(masks);
  }

  // Logits that often make the next row's token, a draft, the right one. Some are NaN.
  std::vector<float> make_logits(const Step& step) {
    std::vector<float> logits = normals(step.logit_rows.size() * size_t(vocab), 2);
    const std::vector<Row>& rows = cpu.rows();
    for (const Group& group : step.groups)
      for (size_t i = 0; i < step.logit_rows.size(); ++i) {
        const int row = step.logit_rows[i];
        if (row < group.first_row || row >= group.first_row + group.rows) continue;
        if (row + 1 < group.first_row + group.rows && is_chance(0.7))
          logits[i * size_t(vocab) + size_t(rows[row + 1].token)] += 40;
        if (group.first_row >= step.mtp_rows && is_chance(0.1))
          logits[i * size_t(vocab) + size_t(below(vocab))] = std::numeric_limits<float>::quiet_NaN();
      }
    return logits;
  }

  void make_drafts(const Step& step) {
    compare_draft_input();
    for (int made = 1;; ++made) {
      const auto wanting = [&](int drafts) {
        return int(std::count_if(step.groups.begin(), step.groups.end(),
                                 [&](const Group& group) { return group.drafts >= drafts; }));
      };
      give_hidden(int(cpu.rows().size()));
      give_logits(normals(size_t(wanting(made)) * size_t(vocab), 2));
      on_both([](Device& device) { device.choose_draft(); });
      if (wanting(made + 1) == 0) return;
      on_both([](Device& device) { device.begin_draft(); });
      compare_rows("of draft " + std::to_string(made + 1));
      const auto wanted = cpu.hidden(), found = gpu.hidden();
      expect(std::equal(wanted.begin(), wanted.end(), found.begin(), found.end()), "hidden states of the drafts' rows");
      compare_draft_input();
    }
  }

  // The GPU sums probabilities in fixed point, and e^x of f32. So its log-probabilities differ a little.
  void compare_choices(const Chosen& wanted, const Chosen& found, const std::string& of) {
    constexpr float kMostError = 1e-6f;
    expect(found.choices.size() == wanted.choices.size(), "number of log-probabilities" + of);
    for (size_t i = 0; i < std::min(found.choices.size(), wanted.choices.size()); ++i) {
      const Choice &a = wanted.choices[i], &b = found.choices[i];
      const auto is_near = [&](float x, float y) {
        return std::abs(x - y) <= kMostError * std::max(1.0f, std::abs(x));
      };
      expect(a.token == b.token && is_near(a.logprob, b.logprob), "log-probability" + of);
      expect(a.top.size() == b.top.size(), "number of alternatives" + of);
      for (size_t k = 0; k < std::min(a.top.size(), b.top.size()); ++k)
        expect(a.top[k].first == b.top[k].first && is_near(a.top[k].second, b.top[k].second), "alternatives" + of);
      result.alternatives += int(b.top.size());
    }
  }

  void compare(const Chosen& wanted, const Chosen& found) {
    const std::string of = " of slot " + std::to_string(wanted.slot);
    expect(found.slot == wanted.slot, "slot" + of);
    expect(message_of(found.problem) == message_of(wanted.problem), "problem" + of + ": " + message_of(found.problem));
    expect(found.tokens == wanted.tokens, "tokens" + of);
    expect(found.drafts == wanted.drafts, "drafts" + of);
    expect(found.logits.size() == wanted.logits.size() &&
               std::memcmp(found.logits.data(), wanted.logits.data(), wanted.logits.size() * sizeof(float)) == 0,
           "logits" + of);
    compare_choices(wanted, found, of);
    result.chosen += int(wanted.tokens.size()), result.problems += wanted.problem != nullptr;
    result.drafts += int(wanted.drafts.size());
    result.accepted += std::max(0, int(wanted.tokens.size()) - 1);
    Member& member = members[wanted.slot];
    member.drafts = wanted.drafts;
    member.has_chosen = true;
    member.length += int(wanted.tokens.size());
    member.is_new = wanted.problem != nullptr;
  }

  void run_step(int count) {
    const Step step = make_step(count);
    on_both([&](Device& device) { device.begin(step, slots); });
    compare_rows("at the beginning");
    give_hidden(int(step.rows.size()));
    give_logits(make_logits(step));
    on_both([](Device& device) { device.choose(); });
    if (step.groups[0].drafts)
      make_drafts(step);
    else if (step.mtp_rows)
      compare_draft_input();
    const int ticket = gpu.end_step();
    const std::vector<Chosen> wanted = cpu.take(cpu.end_step()), found = gpu.take(ticket);
    expect(found.size() == wanted.size(), "number of groups that chose");
    for (size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) compare(wanted[i], found[i]);
    ++result.steps, result.groups += count;
  }
};

CrowdResult DeviceProbe::choose_for_crowd(uint32_t seed, const std::vector<int>& group_counts) {
  Crowd crowd{*this, std::mt19937(seed)};
  for (int slot = 0; slot < plan_.kv.slots; ++slot) {
    crowd.slots.acquire(uint64_t(slot) + 1);
    crowd.slots.reserve(slot, kPromptTokens + 8);
  }
  for (int count : group_counts) crowd.run_step(count);
  gpu_.gpu_->check();
  return std::move(crowd.result);
}

}  // namespace kexa
