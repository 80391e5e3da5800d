#include "engine/session_jobs.h"

#include "engine/session_file.h"

namespace kexa {
namespace {

SessionFile session_file(const JobContext& context, const Channel& channel) {
  LoadedModel& model = context.loaded();
  if (!model.fingerprint) model.fingerprint = model_fingerprint(context.description, context.plan);
  return {.description = context.description,
          .plan = context.plan,
          .model = *model.fingerprint,
          .slots = model.slots,
          .device = *model.device,
          .cancelled = channel.cancelled()};
}

}  // namespace

bool ForkJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  KvSlots& slots = model.slots;
  const int from = slots.find(parent_);
  if (from < 0) {
    channel().push(event::Kept{0});
    return true;
  }
  slots.acquire(parent_);  // marks the parent as just used
  // The copy must not take its parent's slot. If all other slots are busy, the fork waits.
  const int to = slots.acquire(owner(), parent_).slot;
  for (int layer = 0; layer < context.description.layer_count(); ++layer)
    if (const int rows = context.plan.kv.ring_rows[layer])
      model.device->copy_cache(layer, int64_t(from) * rows, int64_t(to) * rows, rows);
  // Comes last, so that a failed copy leaves an empty slot.
  slots.restore(to, slots.sequence(from));
  model.prefixes.share(owner(), parent_);
  channel().push(event::Kept{slots.length(to)});
  return true;
}

bool RewindJob::advance(const JobContext& context) {
  KvSlots& slots = context.loaded().slots;
  const int slot = slots.find(owner());
  channel().push(event::Kept{slot < 0 ? 0 : slots.rewind(slot, length_)});
  return true;
}

bool SaveJob::advance(const JobContext& context) {
  KvSlots& slots = context.loaded().slots;
  const int slot = slots.find(owner());
  // An answer that was broken off may have overwritten the window that the sequence needs to go on. Then the sequence
  // is lost.
  if (slot < 0 || slots.rewind(slot, slots.length(slot)) == 0)
    throw Error(
        "KEXA_INVALID_ARGUMENT",
        "save: wanted a session with tokens in the cache, found none: it has not generated yet, was gone back to "
        "its start, or lost its cache to other sessions");
  session_file(context, channel()).save(slot, path_);
  channel().push(event::Kept{slots.length(slot)});
  return true;
}

bool LoadSessionJob::advance(const JobContext& context) {
  const int slot = session_file(context, channel()).load(owner(), path_);
  channel().push(event::Kept{context.model->slots.length(slot)});
  return true;
}

}  // namespace kexa
