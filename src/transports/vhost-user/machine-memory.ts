/** Which memory of a machine is used: only what the machine cannot take away, or any that can be mapped. */
export type MachineMemory = (typeof MACHINE_MEMORY)[number];
export const MACHINE_MEMORY = ['sealed', 'any'] as const;
