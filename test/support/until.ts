/** Waits until the condition holds, at most so many seconds. Resolves with whether it does. */
export async function until(isTrue: () => boolean, seconds = 5): Promise<boolean> {
  for (let i = 0; i < 100 * seconds && !isTrue(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return isTrue();
}
