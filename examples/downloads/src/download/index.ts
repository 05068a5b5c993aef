/** The downloads were here before they were a package. */
export * from '@taskfleet/downloads'
