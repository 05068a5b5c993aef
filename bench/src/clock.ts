/** Milliseconds by a clock that all processes of this host share. */
export const hostNow = (): number => Number(process.hrtime.bigint()) / 1e6
