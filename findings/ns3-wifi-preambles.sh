#!/usr/bin/env sh
# ns-3 3.44 (PyPI: ns3 3.44.post0; needs g++), WifiPhy::CalculateTxDuration of frames to one receiver.
#
# IEEE 802.11-2020, Figure 21-4, has VHT-SIG-B (4 us) in each VHT frame; ns-3 leaves it out of those to
# one receiver: a frame with one stream has a preamble of 36 us in place of 40.  21.4.3 and 19.4.3 end a
# frame with the short guard interval on the grid of 4 us; ns-3 ends it after its last symbol of 3.6 us.
# An HE frame has training symbols of 8 us in ns-3 for all guard intervals: 6.4 us and the interval, or
# 12.8 us and 3.2 us, are 7.2 us and 16 us with intervals of 0.8 and 3.2 us (IEEE 802.11ax-2021, 27.3.11).
#
# Seen: "preambles [us]: VHT 36, HE with 0.8 us 44, HE with 3.2 us 44; 47 short symbols end after 169.2".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --no-deps ns3==3.44.post0
ns3=$("$work/env/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"] + "/ns3")')
cat > "$work/look.cc" <<'CPP'
#include "ns3/core-module.h"
#include "ns3/wifi-module.h"

#include <cstdio>

using namespace ns3;

static double us(const char* mode, WifiPreamble preamble, int guard_ns, unsigned bytes)
{
    WifiTxVector vector;
    vector.SetMode(WifiMode(mode));
    vector.SetChannelWidth(20);
    vector.SetNss(1);
    vector.SetGuardInterval(NanoSeconds(guard_ns));
    vector.SetPreambleType(preamble);
    return WifiPhy::CalculateTxDuration(bytes, vector, WIFI_PHY_BAND_5GHZ).GetNanoSeconds() / 1e3;
}

int main()
{
    // One byte fits into the first symbol: 4 us, or 12.8 us and the guard interval.
    double vht = us("VhtMcs7", WIFI_PREAMBLE_VHT_SU, 800, 1) - 4.0;
    double narrow = us("HeMcs7", WIFI_PREAMBLE_HE_SU, 800, 1) - 13.6;
    double wide = us("HeMcs7", WIFI_PREAMBLE_HE_SU, 3200, 1) - 16.0;
    // 1500 bytes are 12022 bits with service and tail, in 47 symbols of 260 bits.
    double symbols = us("HtMcs7", WIFI_PREAMBLE_HT_MF, 400, 1500) - 36.0;
    std::printf("preambles [us]: VHT %g, HE with 0.8 us %g, HE with 3.2 us %g; 47 short symbols end "
                "after %g\n", vht, narrow, wide, symbols);
    return !(vht == 36.0 && narrow == 44.0 && wide == 44.0 && symbols == 47 * 3.6);
}
CPP
libraries=$(for path in "$ns3"/lib64/libns3.44-*.so; do echo "$path"; done)
# shellcheck disable=SC2086
g++ -std=c++20 -O1 -w -I"$ns3/include" "$work/look.cc" -o "$work/look" $libraries \
    -Wl,-rpath,"$ns3/lib64" -Wl,--allow-shlib-undefined
"$work/look"
