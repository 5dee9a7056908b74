# SPDX-License-Identifier: GPL-3.0-or-later

from boshlab.agent import main

if __name__ == "__main__":
    main()
