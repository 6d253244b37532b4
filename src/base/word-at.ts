/** The word at an index that is known to be within. */
export const wordAt = (words: ArrayLike<number>, i: number): number => words[i] ?? 0;
