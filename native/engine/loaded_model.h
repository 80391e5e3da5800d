// The state that the engine's thread owns once a model is loaded.
#pragma once

#include <memory>
#include <optional>

#include "decode/batch_drafts.h"
#include "decode/draft_policy.h"
#include "decode/step_costs.h"
#include "engine/prefix_cache.h"
#include "files/mapped_file.h"
#include "model/weights.h"

namespace kexa {

struct LoadedModel {
  LoadedModel(const ModelDescription& description, const Plan& plan, int64_t warm_limit, const LoadProgress& progress);

  WatchedFiles files;                // the files that steps read
  std::unique_ptr<Weights> weights;  // null if several devices have their own
  KvSlots slots;
  std::unique_ptr<Device> device;
  PrefixCache prefixes;
  DraftPolicy drafting;      // of an answer that runs alone
  BatchDrafts batch_drafts;  // of several
  Acceptance acceptance;     // of all answers
  // For all steps. Where the device keeps steps of answers and of prompts apart, there is one for each.
  StepCosts costs, prompt_costs;
  std::optional<uint64_t> fingerprint;  // model_fingerprint(); empty until it is first needed
};

}  // namespace kexa
