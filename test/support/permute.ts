/** Every order of `items`. */
export const permute = <T>(items: readonly T[]): T[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap((x, i) => permute(items.filter((_, j) => j !== i)).map((p) => [x, ...p]));
