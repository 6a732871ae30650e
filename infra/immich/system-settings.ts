/** The keys of Immich's system settings that the kit owns; the rest stays the owner's, in the web page. */
export function systemSettings(url: string) {
  return {
    storageTemplate: {
      enabled: true,
      template: "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    },
    server: { externalDomain: url },
  };
}
