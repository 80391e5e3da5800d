/**
 * Milliseconds after which a program or a wait is taken to hang. What is well takes seconds, and on a machine that does ten
 * other things at a time a minute: a limit is for what would never end, not for what is slow.
 */
export const hangLimit = 300_000;
