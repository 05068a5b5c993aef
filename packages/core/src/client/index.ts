export * from '@taskfleet/client'
