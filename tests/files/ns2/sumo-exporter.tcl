$node_(0) set X_ 5.25
$node_(0) set Y_ 1.01
$node_(0) set Z_ 0
$ns_ at 2.0 "$node_(0) setdest 5.25 1.01 13.00"
$ns_ at 3.0 "$node_(0) setdest 17.38 7.55 13.78"
$ns_ at 4.0 "$node_(0) setdest 29.51 14.08 13.78"
$node_(1) set X_ 5.25
$node_(1) set Y_ 1.01
$node_(1) set Z_ 0
$ns_ at 4.0 "$node_(1) setdest 5.25 1.01 13.14"
$ns_ at 5.0 "$node_(0) setdest 41.64 20.62 13.78"
$ns_ at 5.0 "$node_(1) setdest 16.81 7.24 13.14"
$ns_ at 6.0 "$node_(0) setdest 53.77 27.15 13.78"
$ns_ at 6.0 "$node_(1) setdest 28.37 13.47 13.14"
$ns_ at 7.0 "$node_(0) setdest 65.9 33.69 13.78"
$ns_ at 7.0 "$node_(1) setdest 39.93 19.7 13.14"
$ns_ at 8.0 "$node_(0) setdest 78.03 40.23 13.78"
$ns_ at 8.0 "$node_(1) setdest 51.5 25.93 13.14"
$ns_ at 9.0 "$node_(0) setdest 90.15 46.76 13.78"
$ns_ at 9.0 "$node_(1) setdest 63.06 32.16 13.14"
$ns_ at 10.0 "$node_(0) setdest 102.28 53.3 13.78"
$ns_ at 10.0 "$node_(1) setdest 74.62 38.39 13.14"
$ns_ at 11.0 "$node_(0) setdest 114.41 59.84 13.78"
$ns_ at 11.0 "$node_(1) setdest 86.18 44.62 13.14"
