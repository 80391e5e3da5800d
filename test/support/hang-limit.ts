/**
 * The time after which a program or a wait is taken to hang (milliseconds). A healthy program takes seconds, or a
 * minute on a machine that does ten other things. The limit is for programs that would never end, not for slow ones.
 */
export const hangLimit = 300_000;
