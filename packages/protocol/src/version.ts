/** This package's version, which workers and gateways report. */
export const VERSION = '0.1.0'
