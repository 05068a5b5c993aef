import { useServerTime } from '@taskfleet/react'
import { KeysSection } from '../components/keys-section.tsx'
import { NotificationsSection } from '../components/notifications-section.tsx'
import { Page } from '../components/page.tsx'
import { RetentionSection } from '../components/retention-section.tsx'

/** What the fleet and this browser are set to. */
export function SettingsPage() {
  // The scopes of the key arrive just after the connection. Each tick looks at them again.
  useServerTime()
  return (
    <Page title="Settings">
      <div className="flex flex-col gap-6">
        <KeysSection />
        <RetentionSection />
        <NotificationsSection />
      </div>
    </Page>
  )
}
