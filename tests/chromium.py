"""A Chromium without a network, and its chromedriver: Debian's chromium and chromium-driver."""
# pyright: reportMissingImports=false

import shutil
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def chromium(width: int, scripts: bool = True) -> Any:
    """A browser that reaches no network, and says what its page has asked for."""
    from selenium import webdriver  # late: this file is read where there is none
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "force-device-scale-factor=1",
        "force-prefers-reduced-motion",  # a page that still scrolls is clicked beside
        f"window-size={width},900",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        off = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", off)
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    if width < 600:  # no window is as narrow
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    return browser


def opened(browser: Any, path: Path) -> Any:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(path.as_uri())
    ready = "return 'ready' in document.documentElement.dataset"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(ready))
    return browser
