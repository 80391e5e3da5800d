/**
 * Milliseconds after which a program or a wait is taken to hang. A healthy one takes seconds, and a minute on a machine that
 * does ten other things at a time: the limit is for programs that would never end, not for slow ones.
 */
export const hangLimit = 300_000;
